"""Finds the libraries that an object needs, as ld.so(8) and musl's loader would."""

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
_MAX_CACHE_BYTES = 1 << 26  # bytes: a large system's has a few hundred thousand
_TOKEN = re.compile(r"\$(?:\{(ORIGIN|LIB|PLATFORM)\}|(ORIGIN|LIB|PLATFORM)\b)")
_MUSL = re.compile(r"ld-musl-(.+)\.so\.1$")
_MUSL_OWN = re.compile(r"lib(c|pthread|rt|m|dl|util|xnet)\.")
"""Names that musl's loader answers with itself (dynlink.c, load_library)."""


@dataclass(frozen=True, slots=True)
class MissingLibrary:
    """A needed library that is nowhere: ``by`` is the resolved path of the file that names it."""

    name: str
    by: str


@dataclass(frozen=True, slots=True)
class LoadRequest:
    """What loading one file brings in.

    :ivar needs: its interpreter and libraries, as they are looked up, breadth first; each with
        the resolved path of the first object that names it.
    :ivar files: resolved paths of those libraries.
    """

    needs: Mapping[Need, str]
    files: tuple[str, ...]
    missing: tuple[MissingLibrary, ...]


@dataclass(frozen=True, slots=True)
class _Object:
    """A loaded object: ``origin`` is what $ORIGIN means in it, ``parent`` what asked for it."""

    path: str
    origin: str
    elf: ElfInfo
    parent: _Object | None


class Loader:
    """The search of one full image, with its caches.

    Variants for one kind of CPU (glibc-hwcaps) are not searched: which of them is found depends
    on the machine that builds; the trace has those that were loaded.
    """

    def __init__(self, root: Root, environment: RunEnvironment) -> None:
        self.elves = ElfFiles(root)
        self._root = root
        self._environment = environment

    def loads(self, lookup: str, path: str) -> LoadRequest | None:
        """What the ELF file at the resolved ``path``, looked up as ``lookup``, needs.

        None where it is no ELF file.
        """
        elf = self.elves.read(path)
        if elf is None:
            return None
        # The origin of a program is /proc/self/exe's, of a library the name it was opened by.
        origin = os.path.dirname(path if elf.interpreter else lookup)
        needs: dict[Need, str] = {}
        if elf.interpreter:
            interpreter = self._environment.absolute(elf.interpreter)
            needs[Need(interpreter, Reason.ELF_INTERPRETER)] = path
        queue = [_Object(path, origin, elf, None)]
        files: dict[str, str | None] = {}
        missing: list[MissingLibrary] = []
        musl = _musl_arch(elf)
        for item in queue:
            for name in item.elf.needed:
                if name in files or (musl and _MUSL_OWN.match(name)):
                    continue  # a name is loaded once; the first to ask for it decides
                found = self._find(name, item, musl, needs)
                if found is None:
                    files[name] = None
                    missing.append(MissingLibrary(name, item.path))
                    continue
                files[name] = found.path
                if found.elf.soname is not None:
                    files.setdefault(found.elf.soname, found.path)
                queue.append(found)
        resolved = tuple(dict.fromkeys(file for file in files.values() if file))
        return LoadRequest(needs, resolved, tuple(missing))

    def find(self, name: str, path: str) -> str | None:
        """Where dlopen(3) of ``name`` in the ELF file at a resolved path would find it."""
        elf = self.elves.read(path)
        if elf is None:
            return None
        item = _Object(path, os.path.dirname(path), elf, None)
        needs: dict[Need, str] = {}
        found = self._find(name, item, _musl_arch(elf), needs)
        return None if found is None else next(iter(needs)).path

    def _find(
        self, name: str, item: _Object, musl: str | None, needs: dict[Need, str]
    ) -> _Object | None:
        for candidate, table in self._candidates(name, item, musl):
            found = self._root.resolve(candidate)
            if not found.exists or self._root.kind(found.path) is not Kind.FILE:
                continue
            elf = self.elves.read(found.path)
            if elf is None or not elf.same_abi(item.elf):
                continue  # ld.so goes on past a library of another class or machine
            needs.setdefault(Need(candidate, Reason.NEEDED_LIBRARY), item.path)
            if table is not None:
                needs.setdefault(Need(table, Reason.NEEDED_LIBRARY), item.path)
            return _Object(found.path, os.path.dirname(candidate), elf, item)
        return None

    def _candidates(
        self, name: str, item: _Object, musl: str | None
    ) -> Iterator[tuple[str, str | None]]:
        """Where ``name`` may lie, best first, with the table that says so, if one does."""
        if "/" in name:
            for path in _expand(name, item):
                yield self._environment.absolute(path), None
            return
        for folder in self._searched(item, musl):
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

    def _searched(self, item: _Object, musl: str | None) -> Iterator[str]:
        """The directories that files and the environment name, in the loader's order."""
        chain: list[_Object] = []
        above: _Object | None = item
        while above is not None:
            chain.append(above)
            above = above.parent
        if musl is None:
            if not item.elf.runpath:  # RUNPATH shuts off the RPATHs of all that loaded it
                for owner in chain:
                    yield from self._folders(owner.elf.rpath, owner)
            yield from self._folders(self._environment.library_path, chain[-1])
            yield from self._folders(item.elf.runpath, item)
            return
        yield from self._folders(self._environment.library_path, chain[-1])
        for owner in chain:  # musl knows one kind, and both are inherited
            yield from self._folders(owner.elf.rpath or owner.elf.runpath, owner)

    def _folders(self, elements: tuple[str, ...], owner: _Object) -> Iterator[str]:
        for element in elements:
            for folder in _expand(element, owner):
                yield self._environment.absolute(folder or ".")

    @cached_property
    def _cache(self) -> dict[str, list[str]]:
        """Baseline variants first: they are what any CPU can load."""
        found = self._root.resolve(LD_CACHE)
        if not found.exists:
            return {}
        libraries = parse_ld_cache(self._root.head(found.path, _MAX_CACHE_BYTES))
        by_name: dict[str, list[str]] = {}
        for library in sorted(libraries, key=lambda library: library.hwcap != 0):
            by_name.setdefault(library.name, []).append(library.path)
        return by_name

    @cached_property
    def _configured(self) -> list[str]:
        return read_configured_directories(self._root)


def _musl_arch(elf: ElfInfo) -> str | None:
    """The machine's name as musl has it, where musl loads this object; else None."""
    if elf.interpreter is not None:
        match = _MUSL.search(elf.interpreter)
        return match.group(1) if match else None
    for name in elf.needed:  # a library does not name its loader, but its C library
        if name.startswith("libc.musl-"):
            return name.removeprefix("libc.musl-").partition(".so")[0]
    return None


def _expand(text: str, owner: _Object) -> list[str]:
    """The dynamic string tokens of ld.so(8); a token may stand for several directories."""
    values = {"ORIGIN": (owner.origin or "/",), **list_token_values(owner.elf)}
    parts: list[tuple[str, ...]] = []
    end = 0
    for match in _TOKEN.finditer(text):
        parts += [(text[end : match.start()],), values[match.group(1) or match.group(2)]]
        end = match.end()
    parts.append((text[end:],))
    return ["".join(words) for words in product(*parts)]
