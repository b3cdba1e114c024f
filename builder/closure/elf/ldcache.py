"""Reads ``/etc/ld.so.cache``: the new format of glibc, alone or behind the old one.

The layout is that of glibc's ``sysdeps/generic/dl-cache.h``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

OLD_MAGIC = b"ld.so-1.7.0"
NEW_MAGIC = b"glibc-ld.so.cache1.1"

HWCAP_EXTENSION = 1 << 62
"""In ``hwcap``: the low 32 bits are an index into the names of glibc-hwcaps subdirectories."""

_BIG_ENDIAN = 3
_EXTENSION_MAGIC = 0xEAA42174
_TAG_GLIBC_HWCAPS = 1
_HEADER = 48
_ENTRY = 24
_OLD_HEADER = 16
_OLD_ENTRY = 12


@dataclass(frozen=True, slots=True)
class CachedLibrary:
    """One line of ``ldconfig -p``.

    :ivar flags: library type and ABI (FLAG_ELF_LIBC6 and friends).
    :ivar hwcap: 0 for the variant that every CPU runs.
    :ivar hwcaps_name: the glibc-hwcaps subdirectory it lies in, as ``x86-64-v3``.
    """

    name: str
    path: str
    flags: int
    hwcap: int
    hwcaps_name: str | None = None


def parse_ld_cache(data: bytes) -> tuple[CachedLibrary, ...]:
    """The cache's entries in its order; none where it is damaged or only of the old format.

    The loader does not trust a damaged cache either: it searches the directories.
    """
    start = _new_format(data)
    if start is None:
        return ()
    try:
        return _entries(data, start)
    except (struct.error, IndexError):
        return ()


def _new_format(data: bytes) -> int | None:
    """Offset of the new format's header."""
    if data.startswith(NEW_MAGIC):
        return 0
    if not data.startswith(OLD_MAGIC) or len(data) < _OLD_HEADER:
        return None
    for order in "<>":
        (count,) = struct.unpack_from(f"{order}I", data, 12)
        start: int = (_OLD_HEADER + count * _OLD_ENTRY + 7) & ~7
        if data[start : start + len(NEW_MAGIC)] == NEW_MAGIC:
            return start
    return None


def _entries(data: bytes, start: int) -> tuple[CachedLibrary, ...]:
    order = ">" if data[start + 28] & 3 == _BIG_ENDIAN else "<"
    (count,) = struct.unpack_from(f"{order}I", data, start + 20)
    (extension,) = struct.unpack_from(f"{order}I", data, start + 32)
    names = _hwcaps_names(data, start, extension, order)
    found = []
    for index in range(count):
        flags, key, value, _, hwcap = struct.unpack_from(
            f"{order}iIIIQ", data, start + _HEADER + index * _ENTRY
        )
        name = None
        if hwcap & HWCAP_EXTENSION:
            number = hwcap & 0xFFFFFFFF
            name = names[number] if number < len(names) else None
        path = _string(data, start + value)
        found.append(CachedLibrary(_string(data, start + key), path, flags, hwcap, name))
    return tuple(found)


def _hwcaps_names(data: bytes, start: int, extension: int, order: str) -> list[str]:
    if extension == 0:
        return []
    magic, count = struct.unpack_from(f"{order}II", data, extension)
    if magic != _EXTENSION_MAGIC:
        return []
    for index in range(count):
        tag, _, offset, size = struct.unpack_from(f"{order}IIII", data, extension + 8 + 16 * index)
        if tag == _TAG_GLIBC_HWCAPS:
            offsets = struct.unpack_from(f"{order}{size // 4}I", data, offset)
            return [_string(data, start + offset) for offset in offsets]
    return []


def _string(data: bytes, offset: int) -> str:
    end = data.index(b"\0", offset) if offset < len(data) else offset
    return data[offset:end].decode("utf-8", "surrogateescape")
