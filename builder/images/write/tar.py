"""Makes tar headers: ustar, after a PAX header only if a value does not fit into ustar.

Written by hand, because the bytes are hashed: the standard library's writer can change between
Python versions, and adds a record to names that are not UTF-8 that GNU tar warns about. Sources:
POSIX.1-2017 pax(1) ("ustar Interchange Format", "pax Extended Header"), and for xattrs the records
of star, GNU tar and container tools (``SCHILY.xattr.NAME``, raw bytes).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum

BLOCK = 512
END = bytes(2 * BLOCK)

_MAX_OCTAL_7 = 0o7777777  # the largest uid and gid in ustar's fields
_MAX_OCTAL_11 = 0o77777777777  # the largest size (8 GiB - 1) and mtime


class TarType(Enum):
    """The typeflags that images use."""

    FILE = b"0"
    HARDLINK = b"1"
    SYMLINK = b"2"
    DIRECTORY = b"5"
    FIFO = b"6"


@dataclass(frozen=True, slots=True)
class TarHeader:
    """The fields of one header.

    :ivar name: path in the archive, without a leading or trailing slash.
    :ivar target: of a symlink, or the member that a hard link refers to.
    :ivar mtime: whole seconds since the epoch.
    :ivar size: bytes of content that follow; 0 for all but files.
    """

    name: str
    type: TarType = TarType.FILE
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    target: str = ""
    xattrs: tuple[tuple[str, bytes], ...] = ()


def make_header(member: TarHeader) -> bytes:
    """Make the header blocks before a member's content.

    :raises ValueError: an xattr's name contains ``=``, which ends names in a PAX record.
    """
    name = os.fsencode(member.name) + (b"/" if member.type is TarType.DIRECTORY else b"")
    target = os.fsencode(member.target)
    records = _records(member, name, target)
    plain = _block(
        member.type.value,
        _field(name),
        _field(target),
        (
            member.mode,
            member.uid if 0 <= member.uid <= _MAX_OCTAL_7 else 0,
            member.gid if 0 <= member.gid <= _MAX_OCTAL_7 else 0,
            member.size if member.size <= _MAX_OCTAL_11 else 0,
            member.mtime if 0 <= member.mtime <= _MAX_OCTAL_11 else 0,
        ),
    )
    if not records:
        return plain
    body = b"".join(_record(key, records[key]) for key in sorted(records))
    extended = _block(b"x", b"././@PaxHeader", b"", (0o644, 0, 0, len(body), 0))
    return extended + body + make_padding(len(body)) + plain


def make_padding(size: int) -> bytes:
    """The zeros that fill the last block after ``size`` bytes of content."""
    return bytes(-size % BLOCK)


def _records(member: TarHeader, name: bytes, target: bytes) -> dict[bytes, bytes]:
    records: dict[bytes, bytes] = {}
    if not _fits(name):
        records[b"path"] = name
    if not _fits(target):
        records[b"linkpath"] = target
    for key, number, largest in (
        (b"uid", member.uid, _MAX_OCTAL_7),
        (b"gid", member.gid, _MAX_OCTAL_7),
        (b"size", member.size, _MAX_OCTAL_11),
        (b"mtime", member.mtime, _MAX_OCTAL_11),
    ):
        if not 0 <= number <= largest:
            records[key] = b"%d" % number
    for attribute, value in member.xattrs:
        if "=" in attribute:
            raise ValueError(f"its extended attribute {attribute} has a = in its name")
        records[b"SCHILY.xattr." + os.fsencode(attribute)] = value
    return records


def _fits(text: bytes) -> bool:
    return len(text) <= 100 and text.isascii()


def _field(text: bytes) -> bytes:
    """The value of ustar's field if a PAX record has the whole text."""
    return bytes(byte for byte in text if byte < 0x80)[:100]


def _record(key: bytes, value: bytes) -> bytes:
    """``LENGTH KEY=VALUE`` and a newline; LENGTH is that of the whole record with its digits."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while length != len(rest) + len(b"%d" % length):
        length = len(rest) + len(b"%d" % length)
    return b"%d" % length + rest


def _block(
    flag: bytes, name: bytes, target: bytes, numbers: tuple[int, int, int, int, int]
) -> bytes:
    """One ustar header; ``numbers`` are mode, uid, gid, size and mtime."""
    before = name.ljust(100, b"\0") + b"%07o\0%07o\0%07o\0%011o\0%011o\0" % numbers
    # No user and group names: they would be the building machine's, not the image's.
    after = b"%b%bustar\00000%b0000000\x000000000\0%b" % (
        flag,
        target.ljust(100, b"\0"),
        bytes(64),
        bytes(167),
    )
    checksum = sum(before) + sum(after) + 8 * 0x20  # its own field counts as spaces
    return before + b"%06o\0 " % checksum + after
