"""Where an image's modules lie: what the import system would find there (importlib, PEP 420)."""

from __future__ import annotations

import re
import sys
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.rules.python.pycache import (
    CACHE,
    find_source_path,
    is_frozen,
    list_compiled_paths,
    list_tags,
)
from slimtrace.builder.model import Kind
from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.closure.rules.python.source import Import

_INIT = "__init__.py"
_SITE = re.compile(r"/(?:site|dist)-packages(?:/|$)")
_STDLIB = re.compile(r"/(?:python|pypy)3?\.?\d+$")
_VERSION = re.compile(r"/(?:python|pypy)(\d)\.(\d+)(?:/|$)")
_TAG = re.compile(r"(?:cpython-|pypy)(\d)(\d+)")
_EXTENSION = re.compile(r"(?P<name>[^.]+)(?:\.(?P<tag>abi3|[a-z]+-?\d+\w*(?:-[^.]+)?))?\.so")


class _Place(NamedTuple):
    """What one directory holds by one name.

    :ivar file: what is loaded, None for a directory without a module of its own (PEP 420).
    :ivar folder: where its submodules lie, None for a module that is no package.
    """

    file: str | None
    folder: str | None


class ModuleIndex:
    """One closure's modules. Paths are own ones, but for what lies behind symlinks in packages."""

    def __init__(self, context: RuleContext) -> None:
        self._root = context.root
        self._touched = context.touched
        self._read = context.read
        self._tags = list_tags(context)
        self._names: dict[str, frozenset[str]] = {}
        self._loadable: dict[str, dict[str, str]] = {}
        self._found: dict[tuple[str, Import], tuple[str, ...]] = {}
        self.roots = tuple(sorted(self._import_roots(context)))

    def is_touched(self, path: str) -> bool:
        """Whether a run touched the source, or what was compiled of it."""
        return path in self._touched or not self._touched.isdisjoint(
            list_compiled_paths(path, self._tags)
        )

    def has_run(self, path: str) -> bool:
        """Whether a run loaded the source: it read what was compiled of it, or all there is."""
        found = list_compiled_paths(path, self._tags)
        if any(self._root.kind(each) for each in found):
            return not self._read.isdisjoint(found)
        return path in self._read

    def is_from_app(self, path: str) -> bool:
        """Whether the file is neither installed nor of the standard library."""
        return not (is_installed(path) or self.is_standard(path))

    def is_standard(self, path: str) -> bool:
        """Whether the file is of the standard library."""
        return not is_installed(path) and any(map(_STDLIB.search, list_parents(path)))

    def find_version(self, path: str) -> tuple[int, int] | None:
        """Of the Python that imports a file, if only one can be meant."""
        place = _VERSION.search(path)
        tags = (_TAG.match(tag) for tag in self._tags)
        found = {(int(each[1]), int(each[2])) for each in ([place] if place else tags) if each}
        return found.pop() if len(found) == 1 else None

    def has_module(self, importer: str, name: str) -> bool:
        """Whether there may be a module or package of this name, without dots, for a file."""
        version = _version(importer)
        fitting = (root for root in self.roots if _fits(version, _version(root)))
        return name in sys.stdlib_module_names or any(self._place(root, name) for root in fitting)

    def find(self, importer: str, what: Import) -> tuple[str, ...]:
        """The files that the import loads, packages above first; none where there is none.

        None either where it stands for another that is there.

        :param importer: own path of the file that imports.
        """
        if what.instead_of and all(self._is_there(importer, each) for each in what.instead_of):
            return ()
        key = (importer.rpartition("/")[0] if what.level else _version(importer), what)
        if key not in self._found:
            found = dict.fromkeys(self._find(importer, what))
            self._found[key] = tuple(file for file in found if not is_frozen(file))
        return self._found[key]

    def list_packages(self, path: str) -> Iterator[str]:
        """What the packages that a module lies in load."""
        for folder in reversed(list_parents(path)):
            if _INIT not in self._in(folder):
                return
            if path != f"{folder}/{_INIT}":
                yield f"{folder}/{_INIT}"

    def is_package(self, folder: str) -> bool:
        return _INIT in self._in(folder)

    def list_submodules(self, folder: str) -> Iterator[str]:
        """The names of what lies directly in a directory."""
        for name in sorted(self._in(folder)):
            if name.endswith((".py", ".so")) or self.is_package(f"{folder}/{name}"):
                yield name.partition(".")[0]

    def _is_there(self, importer: str, what: Import) -> bool:
        """Whether it can be imported for sure, with all that it takes.

        The standard library's modules can; which names a source holds is not known. An
        extension of others may need what stands for it too.
        """
        files = self.find(importer, what)
        is_whole = bool(files) and (not what.names or files[-1].endswith(".so"))
        return is_whole and self.is_standard(files[-1])

    def _find(self, importer: str, what: Import) -> Iterator[str]:
        parts = what.module.split(".") if what.module else []
        if what.level:
            folder = "/".join(importer.split("/")[: -what.level])
            yield from self._walk(folder, parts, what.names)[0]
            return
        version = _version(importer)
        fitting = [root for root in self.roots if _fits(version, _version(root))]
        walks = [self._walk(root, parts, what.names) for root in fitting]
        walks = [walk for walk in walks if walk[0]]
        best = max((depth for _, depth in walks), default=0)
        walks = [walk for walk in walks if walk[1] == best]
        # One that was touched shows which root comes first in sys.path.
        for files, _ in [walk for walk in walks if self._is_used(walk[0])] or walks:
            yield from files

    def _is_used(self, files: Iterable[str]) -> bool:
        return any(self.is_touched(file) for file in files)

    def _walk(self, folder: str, parts: list[str], names: Iterable[str]) -> tuple[list[str], int]:
        """The files on the way from a directory, and how many of the parts were found."""
        files: list[str] = []
        below: str | None = folder
        depth = 0
        for part in parts:
            place = None if below is None else self._place(below, part)
            if place is None:
                return files, depth if below else len(parts)
            files += [place.file] if place.file else []
            below = place.folder
            depth += 1
        for name in names if below is not None else ():
            place = self._place(below or "", name)
            if place and place.file:
                files.append(place.file)
        return files, depth

    def _place(self, folder: str, name: str) -> _Place | None:
        """As FileFinder looks: a package, extensions, a source, then a directory."""
        names = self._in(folder)
        path = f"{folder.rstrip('/')}/{name}"
        if name in names and _INIT in self._in(path):
            return _Place(f"{path}/{_INIT}", path)
        extension = self._extensions(folder).get(name)
        if extension is not None:
            return _Place(f"{folder.rstrip('/')}/{extension}", None)
        if f"{name}.py" in names:
            return _Place(f"{path}.py", None)
        return _Place(None, path) if name in names and self._in(path) else None

    def _extensions(self, folder: str) -> dict[str, str]:
        """Name of a module → the file that the interpreters which ran would load."""
        if folder not in self._loadable:
            files = sorted(file for file in self._in(folder) if file.endswith(".so"))
            found = {file.partition(".")[0]: file for file in files if self._is_loadable(file)}
            self._loadable[folder] = found
        return self._loadable[folder]

    def _is_loadable(self, file: str) -> bool:
        match = _EXTENSION.fullmatch(file)
        tag = match and match["tag"]
        fits = [tag.startswith(each) for each in self._tags] if tag and tag != "abi3" else []
        return match is not None and (not fits or any(fits))

    def _in(self, folder: str) -> frozenset[str]:
        if folder not in self._names:
            found = self._root.resolve(folder)
            is_folder = self._root.kind(found.path) is Kind.DIRECTORY
            names = self._root.listdir(found.path) if is_folder else []
            self._names[folder] = frozenset(names)
        return self._names[folder]

    def _import_roots(self, context: RuleContext) -> Iterator[str]:
        """The directories above what was imported, of ``PYTHONPATH``, and those that were listed.

        The import system lists every directory in ``sys.path`` that it comes to.
        """
        folders = {_folder(path) for path in context.touched} - {None}
        tops = {self._top(folder) for folder in folders if folder is not None}
        if not tops:
            return
        listed = (each for each in context.listed if any(True for _ in self.list_submodules(each)))
        named = map(self._root.resolve, context.environment.read_search_path("PYTHONPATH"))
        for folder in {*tops, *listed, *(found.path for found in named)}:
            site = _SITE.search(folder)
            is_inside = site is not None and site.end() < len(folder)
            if not is_inside and folder.rpartition("/")[2] != CACHE and not self.is_package(folder):
                yield folder

    def _top(self, folder: str) -> str:
        while _INIT in self._in(folder):
            folder = folder.rpartition("/")[0]
        return folder


def is_installed(path: str) -> bool:
    """Whether the file is of an installed distribution."""
    return _SITE.search(path) is not None


def _folder(path: str) -> str | None:
    """Where the module that a file is of lies; None for other files."""
    name = path.rpartition("/")[2]
    if name.endswith(".pyc"):
        path = find_source_path(path)
    elif not name.endswith(".py"):
        match = _EXTENSION.fullmatch(name)
        if match is None or match["tag"] is None:
            return None
    return path.rpartition("/")[0]


def _version(path: str) -> str:
    """``3.11`` for what is one interpreter's alone; nothing for what any may import."""
    match = _VERSION.search(path)
    return f"{match[1]}.{match[2]}" if match else ""


def _fits(one: str, other: str) -> bool:
    return not one or not other or one == other


get_module_index = lru_cache(maxsize=4)(ModuleIndex)
"""The modules of one closure, looked up once."""
