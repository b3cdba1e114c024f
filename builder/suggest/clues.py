"""What points at files that were neither touched nor implied: one function for each kind of clue.

Each names paths that may not exist, or be kept already; whoever asks sorts that out.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.elf.loader import Loader
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rule import RuleContext
from slimtrace.builder.closure.rules.python.imports import deferred
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.packages.dpkg import read_dpkg_packages
from slimtrace.builder.packages.index import PackageIndex
from slimtrace.builder.packages.package import read_database
from slimtrace.builder.root.root import list_parents
from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_MAX_FILE_BYTES = 1 << 24
"""Bytes of a file that are looked through for paths."""
_MAX_FILES = 20_000
"""Files of an app's folder that are looked at."""
_SYSTEM = re.compile(r"^/(?:usr(?!/src/)|etc|lib\w*|var|proc|sys|dev|run)/|/s?bin/$")
_INSTALLED = re.compile(r"/(?:(?:site|dist)-packages|node_modules|__pycache__)(?:/|$)")
_ASIDE = re.compile(r"(?:\.\w.*|__pycache__|node_modules|tests?|docs?|site-packages)")
_ABSOLUTE = re.compile(rb"(?<![\w./:@+-])(?:/[\w.@+-]+){2,}")
_RELATIVE = re.compile(rb"[\"'](\.?/?[\w@+-][\w.@+-]*(?:/[\w.@+-]+)*)[\"']")
_CODE = (
    *(".py", ".pyi", ".pyc", ".pyx", ".pxd", ".so", ".typed", ".c", ".h", ".a", ".pc", ".ini"),
    *(".js", ".cjs", ".mjs", ".ts", ".map", ".md", ".markdown", ".rst", "LICENSE", "package.json"),
)
"""What is code, which closure rules follow, or serves those who build and read."""


class Clue(NamedTuple):
    """One thing that points at a path.

    :ivar rank: how strongly, 0 the strongest.
    :ivar why: in words.
    """

    rank: int
    path: str
    why: str


class ClueContext(NamedTuple):
    """What clues are looked for in.

    :ivar own: the app's own folders: where it started and where its scripts lie, but none that
        an OS package or a package manager fills.
    """

    trace: Trace
    root: Root
    selection: Selection
    own: tuple[str, ...]

    def touched(self) -> Iterator[str]:
        """Own paths of the touched files."""
        for path, entry in self.selection.entries.items():
            if entry.kind is Kind.FILE and Reason.TOUCHED in entry.reasons:
                yield path

    def is_own(self, path: str) -> bool:
        """Whether a path is one of the app's own, and not installed there."""
        return path.startswith(self.own) and not _INSTALLED.search(path)


def make_context(trace: Trace, root: Root, selection: Selection) -> ClueContext:
    """The case of a trace."""
    folders = {run.cwd for run in trace.runs}
    for process in trace.processes:
        for word in process.argv[:3]:
            path = root.resolve(os.path.join(trace.runs[process.run].cwd, word)).path
            if path in selection.entries and root.kind(path) is Kind.FILE:
                folders.add(os.path.dirname(path))
    own = (root.resolve(folder).path.rstrip("/") + "/" for folder in folders)
    fitting = {each for each in own if each != "/" and not _SYSTEM.search(each)}
    return ClueContext(trace, root, selection, tuple(sorted(fitting)) or ("//",))


def find_constants(case: ClueContext) -> Iterator[Clue]:
    """Paths that the app's own files and touched settings name, and its programs' strings."""
    for path in case.touched():
        is_own = case.is_own(path)
        if not is_own and not path.startswith("/etc/"):
            continue
        data = case.root.head(path, _MAX_FILE_BYTES)
        is_program = data.startswith(b"\x7fELF")
        if not is_program and b"\0" in data:
            continue  # a table for programs, as ld.so.cache, names all that there is
        rank = 0 if is_own and not is_program else 2
        for match in _ABSOLUTE.finditer(data):
            yield Clue(rank, os.fsdecode(match.group()), f"named in {path}")
        if is_own and not is_program:
            bases = [os.path.dirname(path), *(run.cwd for run in case.trace.runs)]
            for match in _RELATIVE.finditer(data):
                name = os.fsdecode(match.group(1))
                for base in bases:
                    if "." in name or "/" in name:
                        yield Clue(rank, os.path.join(base, name), f"named in {path}")


def find_siblings(case: ClueContext) -> Iterator[Clue]:
    """Files in the app's own folders that are like touched ones there, by their suffix."""
    like: dict[tuple[str, str], str] = {}
    for path in case.touched():
        folder, _, name = path.rpartition("/")
        if case.is_own(path):
            like.setdefault((folder, os.path.splitext(name)[1]), path)
    for top in case.own:
        for path in _walk(case.root, top.rstrip("/")):
            suffix = os.path.splitext(path)[1]
            above = [each for each in list_parents(path) if f"{each}/".startswith(top)]
            for distance, folder in enumerate(reversed(above)):
                model = like.get((folder, suffix))
                if model is not None:
                    where = "beside" if distance == 0 else "below the folder of"
                    yield Clue(3 + min(distance, 1), path, f"{where} {model}")
                    break


def find_late_imports(case: ClueContext) -> Iterator[Clue]:
    """Modules that implied Python modules import in functions."""
    around = RunEnvironment.of(case.trace.runs)
    listed = {
        case.root.resolve(path.path).path
        for path in case.trace.paths.values()
        if Use.LIST in path.uses
    }
    entries = case.selection.entries
    touched = {path for path, entry in entries.items() if Reason.TOUCHED in entry.reasons}
    loader = Loader(case.root, around)
    world = RuleContext(case.root, around, loader, frozenset(touched), frozenset(listed))
    for path in entries:
        rank = 1 if _INSTALLED.search(path) or case.is_own(path) else 5
        for found in deferred(world, path):
            yield Clue(rank, found, f"imported in a function of {path}")


def find_settings(case: ClueContext) -> Iterator[Clue]:
    """The configuration files of touched Debian packages (deb-conffiles(5))."""
    index, entries = PackageIndex(case.root), case.selection.entries
    for package in read_dpkg_packages(case.root):
        own = map(index.own_path, package.files)
        if any(path in entries and entries[path].kind is Kind.FILE for path in own):
            record = package.records[0].removesuffix(".list")
            for line in read_database(case.root, f"{record}.conffiles").splitlines():
                name = os.path.basename(record)
                yield Clue(6, line.rpartition(" ")[2], f"a setting of the package {name}")


def find_rest(case: ClueContext) -> Iterator[Clue]:
    """Data files of packages that were touched: what is neither code nor a test."""
    folders = {
        match.group(1)
        for path in case.touched()
        if (match := re.match(r"(.*/(?:(?:site|dist)-packages|node_modules)/[^/]+)/", path))
    }
    for folder in sorted(folders):
        for path in _walk(case.root, folder):
            if not path.endswith(_CODE):
                yield Clue(7, path, f"data of {folder.rpartition('/')[2]}, which was used")


CLUE_FINDERS = (find_constants, find_late_imports, find_siblings, find_settings, find_rest)


def _walk(root: Root, top: str) -> Iterator[str]:
    """The files below a directory, without what is installed, hidden or for developers."""
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
