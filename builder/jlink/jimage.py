"""Which modules and packages a Java runtime has: the index of its file ``lib/modules``.

The format is no standard: the package jdk.internal.jimage has it, unchanged from JDK 9 on.
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
"""Bytes of an index; that of a whole JDK has three million."""

_END, _MODULE, _PARENT, _BASE, _EXTENSION = range(5)


@dataclass(frozen=True, slots=True)
class Jimage:
    """What a runtime holds.

    :ivar modules: their names; ``packages`` the module of each package, as ``java/sql``.
    """

    modules: frozenset[str]
    packages: Mapping[str, str]


def read_jimage(root: Root, path: str) -> Jimage:
    """The index of the file at an own path.

    :raises SlimtraceError: it cannot be read, or is no such file.
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
                f"cannot read {path}: it does not hold the modules of a Java runtime"
            ) from error
    packages = {package: module for package, module in classes if package}
    return Jimage(frozenset(module for _, module in classes), packages)


def _read_classes(index: bytes, slots: int, size: int) -> Iterator[tuple[str, str]]:
    """Package and module of each class; module-info is of no package."""
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
    """Attributes of one file: a byte with kind and size, then the value, its high byte first."""
    found = {}
    while (kind := index[at] >> 3) != _END:
        size = (index[at] & 7) + 1
        found[kind] = int.from_bytes(index[at + 1 : at + 1 + size], "big")
        at += 1 + size
    return found
