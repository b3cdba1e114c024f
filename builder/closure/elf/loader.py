"""Finds the libraries that an ELF file needs, as ld.so(8) and musl's loader do."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.elf import ElfFiles
from slimtrace.builder.closure.elf.ldcache import parse_ld_cache
from slimtrace.builder.closure.elf.search_path import (
    list_default_directories,
    list_token_values,
    read_configured_directories,
    read_musl_directories,
)
from slimtrace.builder.closure.need import Need
from slimtrace.builder.model import Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.closure.elf.elf import ElfInfo
    from slimtrace.builder.closure.need import RunEnvironment
    from slimtrace.builder.root.root import Root

LD_CACHE = "/etc/ld.so.cache"
_MAX_CACHE_BYTES = 1 << 26  # the cache of a large system has a few hundred thousand bytes
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)\b)")
_MUSL = re.compile(r"ld-musl-(.+)\.so\.1$")
_MUSL_OWN = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\.")
"""Libraries that musl's loader provides itself (dynlink.c, load_library)."""


@dataclass(frozen=True, slots=True)
class MissingLibrary:
    """A needed library that does not exist.

    :ivar needed_by: resolved path of the file that needs it.
    """

    name: str
    needed_by: str


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The interpreter and libraries that the loader loads for one file.

    :ivar needs: its interpreter and libraries, symlinks unresolved, breadth first; each with the
        resolved path of the first object that needs it.
    :ivar files: resolved paths of these libraries.
    """

    needs: Mapping[Need, str]
    files: tuple[str, ...]
    missing: tuple[MissingLibrary, ...]


@dataclass(frozen=True, slots=True)
class _Object:
    """A loaded object.

    :ivar origin: the value of ``$ORIGIN`` in it.
    :ivar parent: the object that needs it; None for the first.
    """

    path: str
    origin: str
    elf: ElfInfo
    parent: _Object | None


class Loader:
    """Searches the libraries of one full image, with caches.

    It does not search variants for one kind of CPU (glibc-hwcaps): which of them is found depends
    on the machine that builds. The trace has those that were loaded.
    """

    def __init__(self, root: Root, environment: RunEnvironment) -> None:
        self.elves = ElfFiles(root)
        self._found: dict[tuple[str, str], Dependencies | None] = {}
        self._root = root
        self._environment = environment

    def find_dependencies(self, lookup: str, path: str) -> Dependencies | None:
        """Find what an ELF file needs; None if it is no ELF file.

        :param lookup: the path by which it is opened.
        :param path: its resolved path.
        """
        key = (lookup, path)
        if key not in self._found:  # rules ask what a plugin needs before it is kept
            self._found[key] = self._search_dependencies(lookup, path)
        return self._found[key]

    def _search_dependencies(self, lookup: str, path: str) -> Dependencies | None:
        elf = self.elves.read(path)
        if elf is None:
            return None
        # $ORIGIN of a program is the directory of /proc/self/exe; of a library, the directory of
        # the path by which it was opened.
        origin = os.path.dirname(path if elf.interpreter else lookup)
        needs: dict[Need, str] = {}
        if elf.interpreter:
            interpreter = self._environment.make_absolute(elf.interpreter)
            needs[Need(interpreter, Reason.ELF_INTERPRETER)] = path
        queue = [_Object(path, origin, elf, None)]
        files: dict[str, str | None] = {}
        missing: list[MissingLibrary] = []
        musl = _find_musl_arch(elf)
        for item in queue:
            for name in item.elf.needed:
                if name in files or (musl and _MUSL_OWN.match(name)):
                    continue  # a name is loaded once, for the first object that needs it
                library = self._find(name, item, musl, needs)
                if library is None:
                    files[name] = None
                    missing.append(MissingLibrary(name, item.path))
                    continue
                files[name] = library.path
                if library.elf.soname is not None:
                    files.setdefault(library.elf.soname, library.path)
                queue.append(library)
        resolved = tuple(dict.fromkeys(file for file in files.values() if file))
        return Dependencies(needs, resolved, tuple(missing))

    def find_library(self, name: str, path: str) -> str | None:
        """Find the library that dlopen(3) of ``name`` opens in the ELF file at a resolved path."""
        elf = self.elves.read(path)
        if elf is None:
            return None
        item = _Object(path, os.path.dirname(path), elf, None)
        needs: dict[Need, str] = {}
        library = self._find(name, item, _find_musl_arch(elf), needs)
        return None if library is None else next(iter(needs)).path

    def _find(
        self, name: str, item: _Object, musl: str | None, needs: dict[Need, str]
    ) -> _Object | None:
        for candidate, table in self._list_candidates(name, item, musl):
            own = self._root.resolve(candidate)
            if not own.exists or self._root.kind(own.path) is not Kind.FILE:
                continue
            elf = self.elves.read(own.path)
            if elf is None or not elf.has_same_abi(item.elf):
                continue  # ld.so skips a library of another class or machine
            needs.setdefault(Need(candidate, Reason.NEEDED_LIBRARY), item.path)
            if table is not None:
                needs.setdefault(Need(table, Reason.NEEDED_LIBRARY), item.path)
            return _Object(own.path, os.path.dirname(candidate), elf, item)
        return None

    def _list_candidates(
        self, name: str, item: _Object, musl: str | None
    ) -> Iterator[tuple[str, str | None]]:
        """List the paths to try for ``name``, in order, each with the table that has it or None."""
        if "/" in name:
            for path in _expand(name, item):
                yield self._environment.make_absolute(path), None
            return
        for folder in self._list_set_folders(item, musl):
            yield f"{folder.rstrip('/')}/{name}", None
        if musl is not None:
            folders, table = read_musl_directories(self._root, musl)
            for folder in folders:
                yield f"{folder.rstrip('/')}/{name}", table
            return
        for path in self._cache.get(name, ()):
            yield path, LD_CACHE
        for folder in [*list_default_directories(item.elf), *self._configured]:
            yield f"{folder}/{name}", None

    def _list_set_folders(self, item: _Object, musl: str | None) -> Iterator[str]:
        """List the directories that ELF files and the environment set, in the loader's order."""
        chain: list[_Object] = []
        above: _Object | None = item
        while above is not None:
            chain.append(above)
            above = above.parent
        if musl is None:
            if not item.elf.runpath:  # a RUNPATH disables the RPATHs of all objects above it
                for owner in chain:
                    yield from self._expand_folders(owner.elf.rpath, owner)
            yield from self._expand_folders(self._environment.library_path, chain[-1])
            yield from self._expand_folders(item.elf.runpath, item)
            return
        yield from self._expand_folders(self._environment.library_path, chain[-1])
        for owner in chain:  # musl treats RPATH and RUNPATH alike: both are inherited
            yield from self._expand_folders(owner.elf.rpath or owner.elf.runpath, owner)

    def _expand_folders(self, elements: tuple[str, ...], owner: _Object) -> Iterator[str]:
        for element in elements:
            for folder in _expand(element, owner):
                yield self._environment.make_absolute(folder or ".")

    @cached_property
    def _cache(self) -> dict[str, list[str]]:
        """Paths by name, baseline variants first: every CPU can load them."""
        own = self._root.resolve(LD_CACHE)
        if not own.exists:
            return {}
        libraries = parse_ld_cache(self._root.head(own.path, _MAX_CACHE_BYTES))
        by_name: dict[str, list[str]] = {}
        for library in sorted(libraries, key=lambda library: library.hwcap != 0):
            by_name.setdefault(library.name, []).append(library.path)
        return by_name

    @cached_property
    def _configured(self) -> list[str]:
        return read_configured_directories(self._root)


def _find_musl_arch(elf: ElfInfo) -> str | None:
    """Find musl's name of the machine; None if musl does not load this object."""
    if elf.interpreter is not None:
        match = _MUSL.search(elf.interpreter)
        return match.group(1) if match else None
    for name in elf.needed:  # a library has no interpreter, but names its C library
        if name.startswith("libc.musl-"):
            return name.removeprefix("libc.musl-").partition(".so")[0]
    return None


def _expand(text: str, owner: _Object) -> list[str]:
    """Expand the dynamic string tokens of ld.so(8); a token can have several values."""
    values = {"ORIGIN": (owner.origin or "/",), **list_token_values(owner.elf)}
    parts: list[tuple[str, ...]] = []
    end = 0
    for match in _TOKEN.finditer(text):
        parts += [(text[end : match.start()],), values[match.group(1) or match.group(2)]]
        end = match.end()
    parts.append((text[end:],))
    return ["".join(combination) for combination in product(*parts)]
