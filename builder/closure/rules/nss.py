"""Modules of the Name Service Switch, which glibc loads as nsswitch.conf(5) configures."""

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
"""Other files that a look-up of hosts reads (host.conf(5), gai.conf(5))."""
_ACCOUNTS = ("/etc/passwd", "/etc/group")
"""A program that looks up users may look up groups too (passwd(5), group(5))."""
_ACTION = re.compile(r"\[[^]]*\]")


def find_nss_modules(context: RuleContext, path: str) -> Iterable[Need]:
    """Find ``libnss_SERVICE.so.2`` for each service in a kept nsswitch.conf, and for each libc.

    /etc/passwd also implies /etc/group, and the other way round.
    """
    if path in _ACCOUNTS:
        yield from (Need(name, Reason.NSS_MODULE) for name in _ACCOUNTS if name != path)
    if path != context.root.resolve(CONFIGURATION).path:
        return
    databases = parse_services(read_text(context.root, CONFIGURATION))
    libraries = sorted(filter(is_glibc, context.kept))
    for service in sorted({name for names in databases.values() for name in names}):
        for libc in libraries:
            module = context.loader.find_library(f"libnss_{service}.so.2", libc)
            if module is not None:
                yield Need(module, Reason.NSS_MODULE, load=True)
    if libraries and databases.get("hosts"):
        for name in _FOR_HOSTS:
            yield Need(name, Reason.NSS_MODULE)


def parse_services(text: str) -> dict[str, list[str]]:
    """Read the services of each database, without actions such as ``[NOTFOUND=return]``."""
    services: dict[str, list[str]] = {}
    for line in split_lines(_ACTION.sub(" ", text.replace(":", ": "))):
        if line[0].endswith(":"):
            services[line[0][:-1]] = line[1:]
    return services


RULE = ClosureRule(
    Reason.NSS_MODULE,
    find_nss_modules,
    "modules of the services that a kept nsswitch.conf names; `/etc/group` beside `/etc/passwd`",
)
