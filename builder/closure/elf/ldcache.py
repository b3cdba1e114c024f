"""Reads ``/etc/ld.so.cache``: glibc's new format, alone or after the old one.

The layout is described in glibc's ``sysdeps/generic/dl-cache.h``.
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
_HEADER_BYTES = 48
_ENTRY_BYTES = 24
_OLD_HEADER_BYTES = 16
_OLD_ENTRY_BYTES = 12


@dataclass(frozen=True, slots=True)
class CachedLibrary:
    """One line of ``ldconfig -p``.

    :ivar flags: library type and ABI (FLAG_ELF_LIBC6 and friends).
    :ivar hwcap: 0 for the variant that every CPU can run.
    :ivar hwcaps_name: its glibc-hwcaps subdirectory, as ``x86-64-v3``.
    """

    name: str
    path: str
    flags: int
    hwcap: int
    hwcaps_name: str | None = None


def parse_ld_cache(data: bytes) -> tuple[CachedLibrary, ...]:
    """Read the cache's entries in order; none if it is damaged or has only the old format.

    The loader ignores a damaged cache too, and searches the directories.
    """
    start = _find_new_header(data)
    if start is None:
        return ()
    try:
        return _read_entries(data, start)
    except (struct.error, IndexError):
        return ()


def _find_new_header(data: bytes) -> int | None:
    """Find the offset of the new format's header."""
    if data.startswith(NEW_MAGIC):
        return 0
    if not data.startswith(OLD_MAGIC) or len(data) < _OLD_HEADER_BYTES:
        return None
    for order in "<>":
        (count,) = struct.unpack_from(f"{order}I", data, 12)
        start: int = (_OLD_HEADER_BYTES + count * _OLD_ENTRY_BYTES + 7) & ~7
        if data[start : start + len(NEW_MAGIC)] == NEW_MAGIC:
            return start
    return None


def _read_entries(data: bytes, start: int) -> tuple[CachedLibrary, ...]:
    order = ">" if data[start + 28] & 3 == _BIG_ENDIAN else "<"
    (count,) = struct.unpack_from(f"{order}I", data, start + 20)
    (extension,) = struct.unpack_from(f"{order}I", data, start + 32)
    names = _read_hwcaps_names(data, start, extension, order)
    libraries = []
    for index in range(count):
        flags, key, value, _, hwcap = struct.unpack_from(
            f"{order}iIIIQ", data, start + _HEADER_BYTES + index * _ENTRY_BYTES
        )
        name = None
        if hwcap & HWCAP_EXTENSION:
            number = hwcap & 0xFFFFFFFF
            name = names[number] if number < len(names) else None
        path = _read_string(data, start + value)
        libraries.append(CachedLibrary(_read_string(data, start + key), path, flags, hwcap, name))
    return tuple(libraries)


def _read_hwcaps_names(data: bytes, start: int, extension: int, order: str) -> list[str]:
    if extension == 0:
        return []
    magic, count = struct.unpack_from(f"{order}II", data, extension)
    if magic != _EXTENSION_MAGIC:
        return []
    for index in range(count):
        tag, _, offset, size = struct.unpack_from(f"{order}IIII", data, extension + 8 + 16 * index)
        if tag == _TAG_GLIBC_HWCAPS:
            offsets = struct.unpack_from(f"{order}{size // 4}I", data, offset)
            return [_read_string(data, start + offset) for offset in offsets]
    return []


def _read_string(data: bytes, offset: int) -> str:
    end = data.index(b"\0", offset) if offset < len(data) else offset
    return data[offset:end].decode("utf-8", "surrogateescape")
