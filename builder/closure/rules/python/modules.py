"""Finds an image's Python modules as the import system does (importlib, PEP 420)."""

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
    from slimtrace.builder.closure.rules.python.module_names import Import

_INIT = "__init__.py"
_SITE = re.compile(r"/(?:site|dist)-packages(?:/|$)")
_STDLIB = re.compile(r"/(?:python|pypy)3?\.?\d+$")
_TOP = re.compile(r".*/(?:(?:site|dist)-packages|(?:python|pypy)3?\.?\d+)/")
"""The directory of installed modules, or of the standard library."""
_VERSION = re.compile(r"/(?:python|pypy)(\d)\.(\d+)(?:/|$)")
_TAG = re.compile(r"(?:cpython-|pypy)(\d)(\d+)")
_EXTENSION = re.compile(r"(?P<name>[^.]+)(?:\.(?P<tag>abi3|[a-z]+-?\d+\w*(?:-[^.]+)?))?\.so")


class _Module(NamedTuple):
    """A module in one directory.

    :ivar file: the file that is loaded; None for a namespace package (PEP 420).
    :ivar folder: the directory of its submodules; None for a module that is no package.
    """

    file: str | None
    folder: str | None


class ModuleIndex:
    """The modules of one closure. Paths are own paths, except below symlinks in packages."""

    def __init__(self, context: RuleContext) -> None:
        self._root = context.root
        self._touched = context.touched
        self._read = context.read
        self._tags = list_tags(context)
        self._names: dict[str, frozenset[str]] = {}
        self._loadable: dict[str, dict[str, str]] = {}
        self._files: dict[tuple[str, Import], tuple[str, ...]] = {}
        self.roots = tuple(sorted(self._import_roots(context)))

    def is_touched(self, path: str) -> bool:
        """Whether a run touched the source, or its compiled file."""
        return path in self._touched or not self._touched.isdisjoint(
            list_compiled_paths(path, self._tags)
        )

    def has_run(self, path: str) -> bool:
        """Whether a run loaded the source: it read its compiled file, or the source if none is."""
        compiled = list_compiled_paths(path, self._tags)
        if any(self._root.kind(each) for each in compiled):
            return not self._read.isdisjoint(compiled)
        return path in self._read

    def is_from_app(self, path: str) -> bool:
        """Whether the file is neither installed nor in the standard library."""
        return not (is_installed(path) or self.is_standard(path))

    def is_standard(self, path: str) -> bool:
        """Whether the file is in the standard library."""
        return not is_installed(path) and any(map(_STDLIB.search, list_parents(path)))

    def get_relative_path(self, path: str) -> str:
        """Get a module's path below the directory in ``sys.path``; unchanged if there is none."""
        match = _TOP.match(path)
        if match:
            return path[match.end() :]
        above = [root for root in self.roots if path.startswith(f"{root.rstrip('/')}/")]
        return path[len(max(above, key=len)) :].lstrip("/") if above else path

    def find_version(self, path: str) -> tuple[int, int] | None:
        """Find the version of the Python that imports a file; None if several are possible."""
        in_path = _VERSION.search(path)
        tags = (_TAG.match(tag) for tag in self._tags)
        versions = {
            (int(each[1]), int(each[2])) for each in ([in_path] if in_path else tags) if each
        }
        return versions.pop() if len(versions) == 1 else None

    def has_module(self, importer: str, name: str) -> bool:
        """Whether a file can possibly import a top-level module or package of this name."""
        version = _parse_version(importer)
        roots = (root for root in self.roots if _matches(version, _parse_version(root)))
        return name in sys.stdlib_module_names or any(
            self._find_module(root, name) for root in roots
        )

    def find(self, importer: str, target: Import) -> tuple[str, ...]:
        """Find the files that an import loads, the packages above first; empty if there are none.

        Empty too for an import that replaces a missing one, if that one is not missing.

        :param importer: own path of the file that imports.
        """
        if target.instead_of and all(
            self._can_import(importer, each) for each in target.instead_of
        ):
            return ()
        key = (importer.rpartition("/")[0] if target.level else _parse_version(importer), target)
        if key not in self._files:
            files = dict.fromkeys(self._find(importer, target))
            self._files[key] = tuple(file for file in files if not is_frozen(file))
        return self._files[key]

    def find_fitting(self, importer: str, pattern: str) -> tuple[str, ...]:
        """Find the files of the modules whose name fits a pattern, and of the packages above.

        :param pattern: with a NUL for each computed part, and leading dots if it is relative.
        """
        name = pattern.lstrip(".")
        if level := len(pattern) - len(name):
            roots = ["/".join(importer.split("/")[:-level])]
        else:
            version = _parse_version(importer)
            roots = [root for root in self.roots if _matches(version, _parse_version(root))]
        files = (file for root in roots for file in self._walk_fitting(root, name.split(".")))
        return tuple(file for file in dict.fromkeys(files) if not is_frozen(file))

    def find_folders(self, importer: str, package: str) -> tuple[str, ...]:
        """Find the folders of a package in ``sys.path``; of namespace packages each one."""
        version = _parse_version(importer)
        below = package.replace(".", "/")
        folders = (
            self._root.resolve(f"{root.rstrip('/')}/{below}")
            for root in self.roots
            if _matches(version, _parse_version(root))
        )
        return tuple(own.path for own in folders if own.exists and self._list(own.path))

    def _walk_fitting(self, folder: str, parts: list[str]) -> Iterator[str]:
        """Find the files on all ways down from a directory; none of a way that ends early."""
        part, *rest = parts
        names = [part]
        if "\0" in part:
            fits = re.compile(r"\w+".join(map(re.escape, re.split("\0+", part))))
            names = [name for name in self.list_submodules(folder) if fits.fullmatch(name)]
        for name in names:
            module = self._find_module(folder, name)
            if module is None:
                continue
            own = [module.file] if module.file else []
            if not rest:
                yield from own
            elif module.folder and (found := [*self._walk_fitting(module.folder, rest)]):
                yield from (*own, *found)

    def list_packages(self, path: str) -> Iterator[str]:
        """List the files of the packages that contain a module."""
        for folder in reversed(list_parents(path)):
            if _INIT not in self._list(folder):
                return
            if path != f"{folder}/{_INIT}":
                yield f"{folder}/{_INIT}"

    def is_package(self, folder: str) -> bool:
        """Whether the directory is a package with a file ``__init__.py``."""
        return _INIT in self._list(folder)

    def list_submodules(self, folder: str) -> Iterator[str]:
        """List the names of the modules that are directly in a directory."""
        for name in sorted(self._list(folder)):
            if name.endswith((".py", ".so")) or self.is_package(f"{folder}/{name}"):
                yield name.partition(".")[0]

    def _can_import(self, importer: str, target: Import) -> bool:
        """Whether the import certainly works, with all names that it imports.

        It does for modules of the standard library. It is not known which names another source
        defines, and another extension may need its replacement too.
        """
        files = self.find(importer, target)
        is_whole = bool(files) and (not target.names or files[-1].endswith(".so"))
        return is_whole and self.is_standard(files[-1])

    def _find(self, importer: str, target: Import) -> Iterator[str]:
        parts = target.module.split(".") if target.module else []
        if target.level:
            folder = "/".join(importer.split("/")[: -target.level])
            yield from self._walk(folder, parts, target.names)[0]
            return
        version = _parse_version(importer)
        roots = [root for root in self.roots if _matches(version, _parse_version(root))]
        walks = [self._walk(root, parts, target.names) for root in roots]
        walks = [walk for walk in walks if walk[0]]
        best = max((depth for _, depth in walks), default=0)
        walks = [walk for walk in walks if walk[1] == best]
        # A touched file shows which root comes first in sys.path.
        for files, _ in [walk for walk in walks if self._is_used(walk[0])] or walks:
            yield from files

    def _is_used(self, files: Iterable[str]) -> bool:
        return any(self.is_touched(file) for file in files)

    def _walk(self, folder: str, parts: list[str], names: Iterable[str]) -> tuple[list[str], int]:
        """Find the files on the way down from a directory, and how many of the parts exist."""
        files: list[str] = []
        below: str | None = folder
        depth = 0
        for part in parts:
            module = None if below is None else self._find_module(below, part)
            if module is None:
                return files, depth if below else len(parts)
            files += [module.file] if module.file else []
            below = module.folder
            depth += 1
        for name in names if below is not None else ():
            module = self._find_module(below or "", name)
            if module and module.file:
                files.append(module.file)
        return files, depth

    def _find_module(self, folder: str, name: str) -> _Module | None:
        """Search as FileFinder does: a package, an extension, a source, then a directory."""
        names = self._list(folder)
        path = f"{folder.rstrip('/')}/{name}"
        if name in names and _INIT in self._list(path):
            return _Module(f"{path}/{_INIT}", path)
        extension = self._list_extensions(folder).get(name)
        if extension is not None:
            return _Module(f"{folder.rstrip('/')}/{extension}", None)
        if f"{name}.py" in names:
            return _Module(f"{path}.py", None)
        return _Module(None, path) if name in names and self._list(path) else None

    def _list_extensions(self, folder: str) -> dict[str, str]:
        """Map the name of a module to the file that the traced interpreters would load."""
        if folder not in self._loadable:
            files = sorted(file for file in self._list(folder) if file.endswith(".so"))
            loadable = {file.partition(".")[0]: file for file in files if self._is_loadable(file)}
            self._loadable[folder] = loadable
        return self._loadable[folder]

    def _is_loadable(self, file: str) -> bool:
        match = _EXTENSION.fullmatch(file)
        tag = match and match["tag"]
        matches = [tag.startswith(each) for each in self._tags] if tag and tag != "abi3" else []
        return match is not None and (not matches or any(matches))

    def _list(self, folder: str) -> frozenset[str]:
        if folder not in self._names:
            own = self._root.resolve(folder)
            is_folder = self._root.kind(own.path) is Kind.DIRECTORY
            names = self._root.listdir(own.path) if is_folder else []
            self._names[folder] = frozenset(names)
        return self._names[folder]

    def _import_roots(self, context: RuleContext) -> Iterator[str]:
        """List the directories in ``sys.path``.

        They are those above the imported modules, those in ``PYTHONPATH``, and listed directories
        with modules: the import system lists each directory in ``sys.path`` that it searches.
        """
        folders = {_get_module_folder(path) for path in context.touched} - {None}
        tops = {self._find_top(folder) for folder in folders if folder is not None}
        if not tops:
            return
        listed = (each for each in context.listed if any(True for _ in self.list_submodules(each)))
        configured = map(self._root.resolve, context.environment.read_search_path("PYTHONPATH"))
        for folder in {*tops, *listed, *(own.path for own in configured)}:
            site = _SITE.search(folder)
            is_inside = site is not None and site.end() < len(folder)
            if not is_inside and folder.rpartition("/")[2] != CACHE and not self.is_package(folder):
                yield folder

    def _find_top(self, folder: str) -> str:
        """Find the directory above a package and the packages that contain it."""
        while _INIT in self._list(folder):
            folder = folder.rpartition("/")[0]
        return folder


def is_installed(path: str) -> bool:
    """Whether the file belongs to an installed distribution."""
    return _SITE.search(path) is not None


def _get_module_folder(path: str) -> str | None:
    """Get the directory of the module that a file belongs to; None for other files."""
    name = path.rpartition("/")[2]
    if name.endswith(".pyc"):
        path = find_source_path(path)
    elif not name.endswith(".py"):
        match = _EXTENSION.fullmatch(name)
        if match is None or match["tag"] is None:
            return None
    return path.rpartition("/")[0]


def _parse_version(path: str) -> str:
    """Read a version as ``3.11`` from a path; empty if every interpreter can import the file."""
    match = _VERSION.search(path)
    return f"{match[1]}.{match[2]}" if match else ""


def _matches(one: str, other: str) -> bool:
    return not one or not other or one == other


get_module_index = lru_cache(maxsize=4)(ModuleIndex)
"""Returns the modules of a closure. The index is made once."""
