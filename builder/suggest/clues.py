"""Finds clues to files that were neither touched nor implied: one function for each kind of clue.

A clue's path may not exist, or may be kept already; the caller filters those out.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.elf.loader import Loader
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rule import RuleContext
from slimtrace.builder.closure.rules.python.imports import find_deferred_imports
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.packages.dpkg import read_dpkg_packages
from slimtrace.builder.packages.index import get_package_index
from slimtrace.builder.packages.package import read_database
from slimtrace.builder.root.root import list_parents
from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_MAX_FILE_BYTES = 1 << 24
"""Bytes of a file to search for paths."""
_MAX_FILES = 20_000
"""Files of an app's folder to look at."""
_SYSTEM = re.compile(r"^/(?:usr(?!/src/)|etc|lib\w*|var|proc|sys|dev|run)/|/s?bin/$")
_INSTALLED = re.compile(r"/(?:(?:site|dist)-packages|node_modules|__pycache__)(?:/|$)")
_ASIDE = re.compile(r"(?:\.\w.*|__pycache__|node_modules|tests?|docs?|site-packages)")
_ABSOLUTE = re.compile(rb"(?<![\w./:@+-])(?:/[\w.@+-]+){2,}")
_RELATIVE = re.compile(rb"[\"'](\.?/?[\w@+-][\w.@+-]*(?:/[\w.@+-]+)*)[\"']")
_CODE = (
    *(".py", ".pyi", ".pyc", ".pyx", ".pxd", ".so", ".typed", ".c", ".h", ".a", ".pc", ".ini"),
    *(".js", ".cjs", ".mjs", ".ts", ".map", ".md", ".markdown", ".rst", "LICENSE", "package.json"),
)
"""Code, which the closure's rules handle, and files for developers only."""


class Clue(NamedTuple):
    """A reason to suggest a path.

    :ivar rank: its strength; 0 is the strongest.
    :ivar why: a phrase for people.
    """

    rank: int
    path: str
    why: str


class ClueContext(NamedTuple):
    """The trace and image to search for clues.

    :ivar own: the app's own folders: its working directories and the folders of its scripts, but
        none of the OS or a package manager.
    """

    trace: Trace
    root: Root
    selection: Selection
    own: tuple[str, ...]

    def touched(self) -> Iterator[str]:
        """The own paths of the touched files."""
        for path, entry in self.selection.entries.items():
            if entry.kind is Kind.FILE and Reason.TOUCHED in entry.reasons:
                yield path

    def is_own(self, path: str) -> bool:
        """Whether a path is in the app's own folders, and not of an installed package."""
        return path.startswith(self.own) and not _INSTALLED.search(path)


def make_context(trace: Trace, root: Root, selection: Selection) -> ClueContext:
    """Find the app's own folders."""
    folders = {run.cwd for run in trace.runs}
    for process in trace.processes:
        for argument in process.argv[:3]:
            path = root.resolve(os.path.join(trace.runs[process.run].cwd, argument)).path
            if path in selection.entries and root.kind(path) is Kind.FILE:
                folders.add(os.path.dirname(path))
    own = (root.resolve(folder).path.rstrip("/") + "/" for folder in folders)
    fitting = {each for each in own if each != "/" and not _SYSTEM.search(each)}
    return ClueContext(trace, root, selection, tuple(sorted(fitting)) or ("//",))


def find_constants(context: ClueContext) -> Iterator[Clue]:
    """Paths in the app's own files, in touched settings, and in its programs' strings."""
    for path in context.touched():
        is_own = context.is_own(path)
        if not is_own and not path.startswith("/etc/"):
            continue
        data = context.root.head(path, _MAX_FILE_BYTES)
        is_program = data.startswith(b"\x7fELF")
        if not is_program and b"\0" in data:
            continue  # a binary table, such as ld.so.cache, names everything
        rank = 0 if is_own and not is_program else 2
        for match in _ABSOLUTE.finditer(data):
            yield Clue(rank, os.fsdecode(match.group()), f"named in {path}")
        if is_own and not is_program:
            bases = [os.path.dirname(path), *(run.cwd for run in context.trace.runs)]
            for match in _RELATIVE.finditer(data):
                name = os.fsdecode(match.group(1))
                for base in bases:
                    if "." in name or "/" in name:
                        yield Clue(rank, os.path.join(base, name), f"named in {path}")


def find_siblings(context: ClueContext) -> Iterator[Clue]:
    """Files in the app's own folders with the suffix of a touched file there."""
    like: dict[tuple[str, str], str] = {}
    for path in context.touched():
        folder, _, name = path.rpartition("/")
        if context.is_own(path):
            like.setdefault((folder, os.path.splitext(name)[1]), path)
    for top in context.own:
        for path in _walk(context.root, top.rstrip("/")):
            suffix = os.path.splitext(path)[1]
            above = [each for each in list_parents(path) if f"{each}/".startswith(top)]
            for distance, folder in enumerate(reversed(above)):
                model = like.get((folder, suffix))
                if model is not None:
                    where = "beside" if distance == 0 else "below the folder of"
                    yield Clue(3 + min(distance, 1), path, f"{where} {model}")
                    break


def find_late_imports(context: ClueContext) -> Iterator[Clue]:
    """Modules that implied Python modules import inside functions."""
    around = RunEnvironment.from_runs(context.trace.runs)
    listed = {
        context.root.resolve(path.path).path
        for path in context.trace.paths.values()
        if Use.LIST in path.uses
    }
    entries = context.selection.entries
    touched = {path for path, entry in entries.items() if Reason.TOUCHED in entry.reasons}
    loader = Loader(context.root, around)
    world = RuleContext(context.root, around, loader, frozenset(touched), frozenset(listed))
    for path in entries:
        rank = 1 if _INSTALLED.search(path) or context.is_own(path) else 5
        for found in find_deferred_imports(world, path):
            yield Clue(rank, found, f"imported in a function of {path}")


def find_settings(context: ClueContext) -> Iterator[Clue]:
    """The configuration files of touched Debian packages (deb-conffiles(5))."""
    index, entries = get_package_index(context.root), context.selection.entries
    for package in read_dpkg_packages(context.root):
        own = map(index.own_path, package.files)
        if any(path in entries and entries[path].kind is Kind.FILE for path in own):
            record = package.records[0].removesuffix(".list")
            for line in read_database(context.root, f"{record}.conffiles").splitlines():
                name = os.path.basename(record)
                yield Clue(6, line.rpartition(" ")[2], f"a setting of the package {name}")


def find_rest(context: ClueContext) -> Iterator[Clue]:
    """Data files of touched packages: neither code nor tests."""
    folders = {
        match.group(1)
        for path in context.touched()
        if (match := re.match(r"(.*/(?:(?:site|dist)-packages|node_modules)/[^/]+)/", path))
    }
    for folder in sorted(folders):
        for path in _walk(context.root, folder):
            if not path.endswith(_CODE):
                yield Clue(7, path, f"data of {folder.rpartition('/')[2]}, which was used")


CLUE_FINDERS = (find_constants, find_late_imports, find_siblings, find_settings, find_rest)


def _walk(root: Root, top: str) -> Iterator[str]:
    """The files below a directory, without installed packages, hidden and developers' files."""
    pending = [top]
    count = 0
    while pending and count < _MAX_FILES:
        folder = pending.pop()
        names = root.listdir(folder)
        if "pyvenv.cfg" in names:
            continue
        for name in names:
            path = f"{folder}/{name}"
            kind = root.kind(path)
            count += 1
            if kind is Kind.DIRECTORY and not _ASIDE.fullmatch(name):
                pending.append(path)
            elif kind is Kind.FILE and not name.startswith("."):
                yield path
