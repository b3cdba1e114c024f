"""A family: files of one kind, of which programs choose one by a name that they put together.

Where a run read one member, its siblings are kept: what arrives from outside decides which of them
the next run reads.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule, LimitMet
from slimtrace.builder.closure.rules.app.bounds import Bound, measure
from slimtrace.builder.closure.rules.app.leavings import is_leaving_file, is_leaving_folder
from slimtrace.builder.model import Keep, Kind
from slimtrace.builder.packages.index import get_package_index
from slimtrace.builder.packages.languages.library_folders import is_library
from slimtrace.builder.root.excluded_paths import exclusion_reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.model import Reason
    from slimtrace.builder.packages.package import Package

BOUND = Bound(files=2_000, size=16 << 20)
"""For the files of one kind in one folder. More is a store of data, not a choice."""

COMPRESSED = (".gz", ".bz2", ".xz", ".zst")
CODE = frozenset(
    ".py .pyc .pyo .so .pm .pl .rb .js .mjs .cjs .ts .php .class .jar .lua .r .sh .tcl .bc".split()  # noqa: SIM905
)
"""Suffixes of code, which has rules of its own."""

_STATE = re.compile(
    r"/|/(?:etc|home|media|mnt|opt|root|srv|usr|var)|/home/[^/]+"
    r"|/(?:proc|run|sys|dev|tmp|boot)(?:/.*)?"
    r"|/var/(?:cache|lock|log|mail|run|spool|tmp)(?:/.*)?"
    r"|(?:/usr|/var)?/lib/(?:dpkg|apt|apk|rpm|sysimage)(?:/.*)?|/(?:etc|usr/share)/(?:ssl|pki)(?:/.*)?"
    r"|/usr/(?:share/)?(?:doc|man|info|include)(?:/.*)?|/usr/share/ca-certificates(?:/.*)?"
)
"""Folders of many owners, of the running system and of package managers, which are no family."""


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of files.

    :ivar reason: the rule.
    :ivar suffixes: those of its files, without that of a compression; None for any but code's.
    :ivar folders: names of folders that are made for such files: below one, all of them are
        siblings. Elsewhere only files in the same folder with the same suffix are, and only if no
        package of the system owns them: /usr/share has much that nobody chooses among.
    :ivar bound: how much is kept of one folder.
    :ivar is_across_packages: whether each member comes in a package of its own, so that whoever
        installed it chose it.
    :ivar is_of_programs: whether also those come that the package of an executed program brings:
        requests of a server's users decide which are read, and maybe none was.
    """

    reason: Reason
    suffixes: frozenset[str] | None
    folders: re.Pattern[str]
    bound: Bound = BOUND
    is_across_packages: bool = False
    is_of_programs: bool = False

    def has(self, path: str) -> bool:
        """Whether a file is of this kind, by its suffix."""
        suffix = get_suffix(path)
        return suffix not in CODE if self.suffixes is None else suffix in self.suffixes


def make_family_rule(family: Family, summary: str) -> ClosureRule:
    """Make the rule of a family: where a run read one member, the others are kept."""
    return ClosureRule(family.reason, partial(_find_siblings, family), summary, Keep.APP)


def _find_siblings(family: Family, context: RuleContext, path: str) -> Iterator[Need | LimitMet]:
    """Find the files of the family that are beside one which a run read.

    :raises SlimtraceError: a package database cannot be read.
    """
    if path not in context.read:
        return
    if family.is_of_programs and is_program(context, path):
        yield from _find_in_package(family, context, path)
    if not family.has(path) or is_library(path):
        return
    folder = path.rpartition("/")[0] or "/"
    owner = get_owner(context, path)
    top = _find_top(family, folder)
    suffix = None
    if top is None:
        suffix = get_suffix(path)
        if owner is not None or family.suffixes is None or _STATE.fullmatch(folder) or not suffix:
            return
        top = folder
    key = (top, suffix, owner and owner.name)
    done = context.get_done(family.reason)
    if key in done:
        return
    done.add(key)
    yield from take_data(
        context,
        family.reason,
        top,
        _list_members(context, family, top, suffix, owner),
        family.bound,
    )


def _find_in_package(
    family: Family, context: RuleContext, program: str
) -> Iterator[Need | LimitMet]:
    """Find the members of a family that are in the package of an executed program."""
    owner, done = get_owner(context, program), context.get_done(family.reason)
    if owner is None or owner.name in done:
        return
    done.add(owner.name)
    index = get_package_index(context.root)
    by_top: dict[str, list[str]] = {}
    for listed in owner.files:
        top = _find_top(family, listed.rpartition("/")[0])
        if top is not None and family.has(listed):
            path = index.own_path(listed)
            if context.root.kind(context.root.resolve(path).path) is Kind.FILE:
                by_top.setdefault(top, []).append(path)
    for top, files in sorted(by_top.items()):
        yield from take_data(context, family.reason, top, files, family.bound)


@lru_cache(maxsize=4096)
def is_program(context: RuleContext, path: str) -> bool:
    """Whether a file is a program of the system, by its folder and mode."""
    folder = path.rpartition("/")[0]
    if not folder.endswith(("bin", "libexec", "/games")) and "/lib" not in folder:
        return False
    is_file = context.root.kind(path) is Kind.FILE
    return is_file and ".so" not in path and context.root.is_executable(path)


def take_data(
    context: RuleContext, reason: Reason, folder: str, files: Iterable[str], bound: Bound = BOUND
) -> Iterator[Need | LimitMet]:
    """Make the needs of all files, which are never programs; or say that they are too many."""
    count = size = 0
    taken = []
    for file in files:
        if is_program(context, file):
            continue
        taken.append(file)
        count += 1
        size += measure(context, file)
    if count > bound.files or size > bound.size:
        example = next((file for file in taken if file not in context.kept), "")
        yield LimitMet(reason, folder, count, size, example)
        return
    yield from (Need(file, reason) for file in taken)


def get_suffix(path: str) -> str:
    """The suffix of a path's name in small letters, without that of a compression."""
    name = path.rpartition("/")[2].lower()
    if name.endswith(COMPRESSED):
        name = name.rpartition(".")[0]
    return os.path.splitext(name)[1]


def get_owner(context: RuleContext, path: str) -> Package | None:
    """The system's package that owns a file."""
    return get_package_index(context.root).system_owner(path)


def is_state(folder: str) -> bool:
    """Whether a folder has many owners, or belongs to the running system."""
    return _STATE.fullmatch(folder) is not None


def _find_top(family: Family, folder: str) -> str | None:
    """Find the outermost folder that is made for the family, from a folder upwards."""
    names = folder.split("/")
    for at, name in enumerate(names):
        if family.folders.fullmatch(name.lower()):
            top = "/".join(names[: at + 1])
            if not _STATE.fullmatch(top):
                return top
    return None


def _list_members(
    context: RuleContext, family: Family, top: str, suffix: str | None, owner: Package | None
) -> Iterator[str]:
    """List the files of a family: below a folder or, with a suffix, directly in it."""
    for file in walk_files(context, top, is_deep=suffix is None):
        if not family.has(file) or (suffix is not None and get_suffix(file) != suffix):
            continue
        if family.is_across_packages or get_owner(context, file) is owner:
            yield file


def walk_files(context: RuleContext, top: str, *, is_deep: bool = True) -> Iterator[str]:
    """Walk the files below a folder and the links to files, without what no program reads."""
    root, start = context.root, len(top.rstrip("/")) + 1
    pending = [top]
    while pending:
        folder = pending.pop()
        for name in root.listdir(folder):
            path = f"{folder.rstrip('/')}/{name}"
            kind = root.kind(path)
            if kind is Kind.DIRECTORY:
                if is_deep and not is_leaving_folder(path[start:]):
                    pending.append(path)
            elif not is_leaving_file(path[start:]) and exclusion_reason(path) is None:
                if kind is Kind.SYMLINK:
                    kind = root.kind(root.resolve(path).path)
                if kind is Kind.FILE:
                    yield path
