"""Reads the modules and packages of a Java runtime from the index of its file ``lib/modules``.

The format is no standard: it is that of the package jdk.internal.jimage, unchanged since JDK 9.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.root.root import Root

_HEADER = struct.Struct("=7I")
_MAGIC = 0xCAFEDADA
_MAX_INDEX_BYTES = 64 << 20
"""The index of a whole JDK has three million bytes."""

_END, _MODULE, _PARENT, _BASE, _EXTENSION = range(5)


@dataclass(frozen=True, slots=True)
class Jimage:
    """The contents of a runtime.

    :ivar modules: their names; ``packages`` the module of each package, as ``java/sql``.
    """

    modules: frozenset[str]
    packages: Mapping[str, str]


def read_jimage(root: Root, path: str) -> Jimage:
    """Read the index of the file at an own path.

    :raises SlimtraceError: it cannot be read, or is not in this format.
    """
    with root.open(path) as file:
        head, index = file.read(_HEADER.size), b""
        try:
            magic, _, _, _, slots, size, text = _HEADER.unpack(head)
            length = 8 * slots + size + text
            if magic == _MAGIC and length <= _MAX_INDEX_BYTES:
                index = file.read(length)
            classes = frozenset(_read_classes(index, slots, size))
        except (struct.error, ValueError, IndexError) as error:
            raise SlimtraceError(
                f"cannot read {path}: it is not the modules file of a Java runtime"
            ) from error
    packages = {package: module for package, module in classes if package}
    return Jimage(frozenset(module for _, module in classes), packages)


def _read_classes(index: bytes, slots: int, size: int) -> Iterator[tuple[str, str]]:
    """The package and module of each class; the package of module-info is empty."""
    offsets = struct.unpack_from(f"={slots}I", index, 4 * slots)
    texts = 8 * slots + size
    names: dict[int, str] = {}

    def name(at: int) -> str:
        if at not in names:
            start = texts + at
            names[at] = index[start : index.index(b"\0", start)].decode()
        return names[at]

    for offset in offsets:
        location = _read_location(index, 8 * slots + offset)
        if name(location.get(_EXTENSION, 0)) == "class":
            yield name(location.get(_PARENT, 0)), name(location[_MODULE])


def _read_location(index: bytes, at: int) -> dict[int, int]:
    """The attributes of one file: a byte with kind and size, then the value, big-endian."""
    found = {}
    while (kind := index[at] >> 3) != _END:
        size = (index[at] & 7) + 1
        found[kind] = int.from_bytes(index[at + 1 : at + 1 + size], "big")
        at += 1 + size
    return found
