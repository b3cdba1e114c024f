"""Files that an app finds by listing a directory: templates, data of plugins, conf.d.

Code is not added here: the rules for each language decide which modules are needed. An import
system lists every directory in its search path, also those from which it needs nothing.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.root.root import Root

MAX_LISTED_BYTES = 64 << 20
MAX_LISTED_FILES = 4096
"""A directory with more is data, not a place for plugins: nothing of it is added, because a part
would be chosen at random."""

_CODE = re.compile(r".*\.(py|pyc|pyo|pyd|pth|pm|pl|rb|jar|class|js|mjs|cjs|node|so(\.[0-9]+)*)$")
_SYSTEM = re.compile(
    r"/$|/(boot|dev|proc|sys|run)(/|$)|/(tmp|root|home|var)$|/home/[^/]+$"
    r"|/usr/(share/(zoneinfo|doc|man|info|locale|terminfo|ca-certificates)|lib/locale|include)(/|$)"
    r"|/(lib|etc)/terminfo(/|$)|/etc/(ssl|pki)(/|$)|/var/(cache|log|tmp|spool|mail)(/|$)"
    r"|/(var/lib|lib|usr/lib)/(dpkg|apt|apk|rpm|sysimage)(/|$)"
    r"|.*/(gconv|ossl-modules|__pycache__|\.git|\.hg|\.svn)(/|$)|.*\.(dist|egg)-info$"
)
"""Directories that do not belong to an app: the root, homes, those that change at run time or have
another rule, databases of package managers."""


def find_listed_files(context: RuleContext, path: str) -> Iterable[Need]:
    """Find the regular files in a directory that the runs listed, but no code or programs.

    In /etc, only files with the same ending as a touched one.
    """
    if path not in context.listed or not _is_from_app(context, path):
        return
    names = context.root.listdir(path)
    if any(map(_CODE.match, names)):
        return
    files = [f"{path}/{name}" for name in names if _is_data(context.root, f"{path}/{name}")]
    if path == "/etc":
        endings = {_get_ending(file) for file in files if file in context.touched} - {""}
        files = [file for file in files if _get_ending(file) in endings]
    if (
        len(files) <= MAX_LISTED_FILES
        and sum(_get_size(context.root, file) for file in files) <= MAX_LISTED_BYTES
    ):
        yield from (Need(file, Reason.LISTED) for file in files)


def _is_from_app(context: RuleContext, path: str) -> bool:
    programs = {context.root.resolve(folder).path for folder in context.environment.path}
    return path not in programs and not _SYSTEM.match(path)


def _is_data(root: Root, path: str) -> bool:
    """Whether it is a regular file, or a symlink to one, that nobody may execute."""
    own = root.resolve(path)
    is_file = own.exists and root.kind(own.path) is Kind.FILE
    return is_file and not root.is_executable(own.path)


def _get_ending(path: str) -> str:
    name = path.rpartition("/")[2]
    return name.rpartition(".")[2] if "." in name else ""


def _get_size(root: Root, path: str) -> int:
    fingerprint = root.fingerprint(root.resolve(path).path)
    return 0 if fingerprint is None else fingerprint.size


RULE = ClosureRule(
    Reason.LISTED,
    find_listed_files,
    "the files of a directory that a run listed. No programs; nothing in directories "
    "of modules or libraries; nothing from directories of more than 64 MiB or 4096 "
    "files; of /etc only files with the same ending as one that was read",
)
