"""Modules of the Name Service Switch, which glibc opens by the words of nsswitch.conf(5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_glibc
from slimtrace.builder.model import Reason
from slimtrace.builder.root.tables import read_text, split_lines

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import RuleContext

CONFIGURATION = "/etc/nsswitch.conf"
_FOR_HOSTS = ("/etc/host.conf", "/etc/gai.conf")
"""What a look-up of hosts reads besides (host.conf(5), gai.conf(5))."""
_ACCOUNTS = ("/etc/passwd", "/etc/group")
"""Who asks for a user's name may ask for the group's (passwd(5), group(5))."""
_ACTION = re.compile(r"\[[^]]*\]")


def find_nss_modules(context: RuleContext, path: str) -> Iterable[Need]:
    """``libnss_SERVICE.so.2`` of each service that a kept nsswitch.conf names, for each libc.

    And of the accounts' two files, the other.
    """
    if path in _ACCOUNTS:
        yield from (Need(name, Reason.NSS_MODULE) for name in _ACCOUNTS if name != path)
    if path != context.root.resolve(CONFIGURATION).path:
        return
    databases = parse_services(read_text(context.root, CONFIGURATION))
    libraries = sorted(filter(is_glibc, context.kept))
    for service in sorted({name for names in databases.values() for name in names}):
        for libc in libraries:
            found = context.loader.find_library(f"libnss_{service}.so.2", libc)
            if found is not None:
                yield Need(found, Reason.NSS_MODULE, load=True)
    if libraries and databases.get("hosts"):
        for name in _FOR_HOSTS:
            yield Need(name, Reason.NSS_MODULE)


def parse_services(text: str) -> dict[str, list[str]]:
    """The services of each database; actions as ``[NOTFOUND=return]`` are none."""
    found: dict[str, list[str]] = {}
    for line in split_lines(_ACTION.sub(" ", text.replace(":", ": "))):
        if line[0].endswith(":"):
            found[line[0][:-1]] = line[1:]
    return found


RULE = ClosureRule(Reason.NSS_MODULE, find_nss_modules)
