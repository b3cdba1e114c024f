"""Files and folders that the app's own configuration names by an absolute path.

A server's document root, an error page, a word list: a run need not have asked for them, and no
package owns them. Configuration that a package brought and nobody changed names what the system
has, and does not count.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.app.bounds import Bound, may_be_loaded, take_within
from slimtrace.builder.closure.rules.app.leavings import is_leaving
from slimtrace.builder.closure.rules.app.own_folder import list_own_files
from slimtrace.builder.closure.rules.shell.script_command import get_called_scripts, is_own_script
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.index import get_package_index
from slimtrace.builder.packages.package import read_database
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slimtrace.builder.closure.rule import LimitMet, RuleContext

BOUND = Bound(files=4096, size=64 << 20)
"""For one folder. What is larger is data."""

_MAX_CONFIGURATION_BYTES = 1 << 20

_CONFIGURATION = re.compile(
    r".*\.(?:conf|cnf|cfg|config|ini|toml|ya?ml|json|xml|properties|env|template|tmpl|tpl|j2|in)"
    r"|/etc/.*|.*/\.env"
)
_PATH = re.compile(r"(?<![\w./$}*@%+~-])/[\w.@+~-]+(?:/[\w.@+~-]+)+/?")
"""An absolute path of two names or more. It is no part of a URL or of a longer word."""

_SYSTEM = re.compile(
    r"(?:/usr)?(?:/local)?/(?:s?bin|lib|lib32|lib64|libx32|libexec|include|games|share|src|etc)"
    r"|(?:/usr)?(?:/local)?/(?:s?bin|lib|lib32|lib64|libx32|libexec|include)/.*"
    r"|/usr/share/(?:fonts|icons|man|doc|info|locale|zoneinfo|mime|applications)(?:/.*)?"
    r"|/(?:boot|dev|proc|run|sys|tmp|var/(?!www/).*)(?:/.*)?|/usr/local"
    r"|/(?:root|home/[^/]+|var/www|opt|srv|mnt|media|data)|/etc/(?:ssl|pki|alternatives)(?:/.*)?"
)
"""Folders of the system, of several apps, and of state."""

_INSTALLATION = frozenset({"bin", "lib"})

_CONFFILES = re.compile(r"^ (/\S+) ([0-9a-f]{32})(?: obsolete)?$", re.MULTILINE)
"""A line of the field Conffiles in dpkg's status: a path, and the MD5 sum of what was installed."""


def find_configured_paths(context: RuleContext, path: str) -> Iterable[Need | LimitMet]:
    """Find what a configuration file or shell script of the app names by an absolute path.

    :raises SlimtraceError: a package database cannot be read.
    """
    if path not in context.read and path not in get_called_scripts(context):
        return
    if context.root.kind(path) is not Kind.FILE:
        return
    if not (_is_own_configuration(context, path) or is_own_script(context, path)):
        return
    for name in sorted(set(_PATH.findall(context.root.text(path, _MAX_CONFIGURATION_BYTES)))):
        own = context.root.resolve(name)
        kind = context.root.kind(own.path) if own.exists else None
        if kind is Kind.FILE and _is_data(context, own.path):
            yield Need(name, Reason.CONFIG_PATH, load=may_be_loaded(context, own.path))
        elif kind is Kind.DIRECTORY and _may_be_data(context, own.path, path):
            yield Need(name, Reason.CONFIG_PATH)
            yield from _list_folder(context, own.path)


def _is_own_configuration(context: RuleContext, path: str) -> bool:
    """Whether it is configuration that no package brought, or that was changed after it did."""
    fingerprint = context.root.fingerprint(path)
    if fingerprint is None or fingerprint.size > _MAX_CONFIGURATION_BYTES:
        return False
    if not _CONFIGURATION.fullmatch(path) or b"\0" in context.root.head(path, 4096):
        return False
    if get_package_index(context.root).system_owner(path) is None:
        return True
    installed = _list_conffiles(context).get(path)
    content = context.root.head(path, _MAX_CONFIGURATION_BYTES)
    return installed not in {None, hashlib.md5(content, usedforsecurity=False).hexdigest()}


@lru_cache(maxsize=2)
def _list_conffiles(context: RuleContext) -> Mapping[str, str]:
    """The MD5 sums of configuration files as dpkg installed them, by path."""
    return dict(_CONFFILES.findall(read_database(context.root, "/var/lib/dpkg/status")))


def _is_data(context: RuleContext, path: str) -> bool:
    """Whether it is a file that is not executed, or a program of the app's own.

    The system's programs are not added because of their names.
    """
    fingerprint = context.root.fingerprint(path)
    if fingerprint is None or re.match(r"/(?:dev|proc|sys|run|tmp|var/(?!www/))", path):
        return False
    if not fingerprint.mode & 0o111:
        return True
    is_of_system = _SYSTEM.fullmatch(path.rpartition("/")[0]) or fingerprint.mode & 0o6000
    return not is_of_system and get_package_index(context.root).system_owner(path) is None


def _may_be_data(context: RuleContext, folder: str, path: str) -> bool:
    """Whether a folder that a file names has the app's data.

    Not the system's folders; not that of the file, which is no news; not a virtual environment or
    a folder of programs with their libraries.
    """
    if _SYSTEM.fullmatch(folder) or path.startswith(f"{folder}/"):
        return False
    names = context.root.listdir(folder)
    return not ("pyvenv.cfg" in names or _INSTALLATION.issubset(names))


@lru_cache(maxsize=1024)
def _list_folder(context: RuleContext, folder: str) -> tuple[Need | LimitMet, ...]:
    """List the files of a named folder; in /etc only those that no package brought."""
    files = dict.fromkeys(list_own_files(context, folder))
    if not folder.startswith("/etc/"):
        files |= dict.fromkeys(_list_package_files(context, folder))
    return tuple(take_within(context, Reason.CONFIG_PATH, folder, files, BOUND))


def _list_package_files(context: RuleContext, folder: str) -> Iterator[str]:
    """List the files of a folder that the system's packages brought."""
    index = get_package_index(context.root)
    for file in list_files(context.root, folder):
        if not is_leaving(file.removeprefix(f"{folder}/")) and index.system_owner(file):
            yield file


RULE = ClosureRule(
    Reason.CONFIG_PATH,
    find_configured_paths,
    "files and folders that the app's own configuration files and shell scripts name by an "
    "absolute path: those that a run read, and that no package brought, or somebody changed since. "
    "No folders and no programs of the system; nothing of a folder of more than 64 MiB or 4096 "
    "files",
    Keep.APP,
)
