"""Reads tar archives in one pass: ustar, GNU and PAX.

Written by hand, because a layer comes from anywhere and can have any size: the standard library's
reader seeks, stores every entry and takes five times as long. Sources: POSIX.1-2017 pax(1) and GNU
tar's manual; where they leave a choice, this reader does what Go's archive/tar does, with which
container engines unpack layers.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from slimtrace.builder.images.unpack.pax import (
    MalformedHeader,
    Records,
    parse_decimal,
    parse_number,
    parse_records,
    parse_time,
)
from slimtrace.builder.images.unpack.sparse import (
    BLOCK,
    SparseFile,
    parse_recorded_map,
    read_leading_map,
    read_old_map,
)
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.images.unpack.bytestream import ByteStream

PATH_MAX = 4096
"""Bytes of a path, including the NUL at its end (limits.h)."""

_MAX_HEADER_BYTES = 1 << 20  # of an extended header; the limit of Go's archive/tar
_LAYOUT = struct.Struct("100s8s8s8s12s12s8s1s100s8s64s8s8s155s12s")
_EXTENSIONS = {b"L", b"K", b"x", b"g", b"V"}  # V is GNU tar's label of a volume
_ZEROS = bytes(BLOCK)
_LARGEST = (1 << 63) - 1
_XATTR = b"SCHILY.xattr."

FILE = b"0"
HARDLINK = b"1"
SYMLINK = b"2"
CHARACTER = b"3"
BLOCK_DEVICE = b"4"
DIRECTORY = b"5"
FIFO = b"6"
_KINDS = frozenset((FILE, HARDLINK, SYMLINK, CHARACTER, BLOCK_DEVICE, DIRECTORY, FIFO))


class TarMember(NamedTuple):
    """One entry of an archive.

    :ivar name: as written in the archive; it can be any path.
    :ivar type: ``FILE`` and so on: one byte.
    :ivar mode: permission bits.
    :ivar size: bytes of the file, including holes; 0 for all but files.
    :ivar target: of a symlink, or the member that a hard link refers to.
    :ivar xattrs: sorted by name.
    :ivar device: major and minor number.
    :ivar sparse: where the stored data belongs; None if the whole file is stored.
    """

    name: str
    type: bytes
    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    target: str
    xattrs: tuple[tuple[str, bytes], ...]
    device: tuple[int, int]
    sparse: SparseFile | None


@dataclass(slots=True)
class _Extensions:
    """The extension headers before a member; they override its own header."""

    name: bytes = b""
    target: bytes = b""
    records: Records = field(default_factory=list)


class TarReader:
    """The members of an archive, in order.

    :param label: the archive's name in messages, as ``layer sha256:…``.
    """

    def __init__(self, stream: ByteStream, label: str) -> None:
        self._stream = stream
        self._label = label
        self._global: Records = []
        self._content = 0
        self._padding = 0
        self._name = ""

    def __iter__(self) -> Iterator[TarMember]:
        """:raises SlimtraceError: the archive is damaged."""
        while True:
            try:
                member = self._next()
            except MalformedHeader as error:
                self._fail(str(error))
            if member is None:
                return
            yield member

    def pieces(self) -> Iterator[bytes | memoryview]:
        """Read the stored content of the last member, once.

        :raises SlimtraceError: the archive ends before the content.
        """
        while self._content:
            piece = self._stream.piece(self._content)
            if not piece:
                self._fail("the archive is truncated")
            self._content -= len(piece)
            yield piece

    def _next(self) -> TarMember | None:
        left = self._content + self._padding
        if left and self._stream.skip(left) < left:
            raise MalformedHeader("the archive is truncated")
        self._content = self._padding = 0
        self._name = ""
        extensions = _Extensions()
        while True:
            block = self._stream.take(BLOCK)
            if len(block) < BLOCK:
                if block or extensions != _Extensions():
                    raise MalformedHeader("the archive is truncated")
                return None
            if block == _ZEROS:
                end = self._stream.take(BLOCK)
                if end.strip(b"\0"):
                    raise MalformedHeader("it has data after its end")
                return None
            _check_checksum(block)
            flag = block[156:157]
            if flag not in _EXTENSIONS:
                return self._member(block, extensions)
            self._extend(extensions, flag, block)

    def _extend(self, extensions: _Extensions, flag: bytes, block: bytes) -> None:
        match flag:
            case b"L":
                extensions.name = _cut_at_nul(self._body(block, PATH_MAX))
            case b"K":
                extensions.target = _cut_at_nul(self._body(block, PATH_MAX))
            case b"x":
                extensions.records = parse_records(self._body(block, _MAX_HEADER_BYTES))
            case b"g":
                self._global += parse_records(self._body(block, _MAX_HEADER_BYTES))
                if sum(len(key) + len(value) for key, value in self._global) > _MAX_HEADER_BYTES:
                    raise MalformedHeader("its global headers are too long")
            case _:
                self._body(block, _MAX_HEADER_BYTES)

    def _body(self, block: bytes, most: int) -> bytes:
        size = parse_number(block[124:136], "size")
        if not 0 <= size <= most:
            raise MalformedHeader(f"it has a header of {size} bytes: the limit is {most}")
        body = self._stream.take(size + -size % BLOCK)
        if len(body) < size:
            raise MalformedHeader("the archive is truncated")
        return body[:size]

    def _member(self, block: bytes, extensions: _Extensions) -> TarMember:
        records = [*self._global, *extensions.records] if self._global or extensions.records else []
        fields = _LAYOUT.unpack(block)
        name, mode, uid, gid, size, mtime, _, flag, target, magic, _, major, minor, prefix, _ = (
            fields
        )
        name = _cut_at_nul(name)
        if magic[:6] == b"ustar\0" and prefix[0]:
            name = _cut_at_nul(prefix) + b"/" + name
        name = extensions.name or name
        target = extensions.target or _cut_at_nul(target)
        known = {key: value for key, value in records if value} if records else {}
        name = known.get(b"GNU.sparse.name") or known.get(b"path", name)
        self._name = os.fsdecode(name)
        stored = (
            parse_decimal(known[b"size"], "size")
            if b"size" in known
            else parse_number(size, "size")
        )
        kind = _parse_type(flag, name)
        sparse = None
        if kind != FILE:
            stored = 0  # links with a size have no content, as in Go's archive/tar
        _check_range(stored, 0, _LARGEST, "size")
        self._content = stored
        self._padding = -stored % BLOCK
        if kind == FILE:
            sparse = self._sparse(block, flag, records, known)
        return TarMember(
            _decode_path(name, "name"),
            kind,
            parse_number(mode, "mode") & 0o7777,
            _parse_id(known.get(b"uid"), uid, "uid"),
            _parse_id(known.get(b"gid"), gid, "gid"),
            stored if sparse is None else _check_range(sparse.size, 0, _LARGEST, "size"),
            _parse_mtime(known.get(b"mtime"), mtime),
            _decode_path(known.get(b"linkpath", target), "target")
            if kind in {HARDLINK, SYMLINK}
            else "",
            _parse_xattrs(records) if records else (),
            _parse_device(major, minor) if kind in {CHARACTER, BLOCK_DEVICE} else (0, 0),
            sparse,
        )

    def _sparse(
        self, block: bytes, flag: bytes, records: Records, known: dict[bytes, bytes]
    ) -> SparseFile | None:
        if flag == b"S":
            return read_old_map(block, self._stream, self._content)
        version = known.get(b"GNU.sparse.major"), known.get(b"GNU.sparse.minor")
        if version == (b"1", b"0"):
            size = parse_decimal(known.get(b"GNU.sparse.realsize", b""), "size")
            sparse, taken = read_leading_map(self._stream, size, self._content)
            self._content -= taken
            return sparse
        return parse_recorded_map(records, self._content)

    def _fail(self, cause: str) -> NoReturn:
        entry = f"{self._name!r}: " if self._name else ""
        raise SlimtraceError(
            f"cannot read {self._label}: {entry}{cause}", "fetch or build the image again"
        )


def _check_checksum(block: bytes) -> None:
    expected = parse_number(block[148:156], "checksum")
    field = sum(block[148:156])
    if expected == sum(block) - field + 8 * 0x20:
        return
    # Some old tar programs summed signed bytes.
    signed = sum(struct.unpack("148b8x356b", block)) + 8 * 0x20
    if expected != signed:
        raise MalformedHeader("a header's checksum is wrong")


def _parse_type(flag: bytes, name: bytes) -> bytes:
    if flag in _KINDS:
        # Archives older than POSIX mark directories by a slash alone.
        return DIRECTORY if flag == FILE and name.endswith(b"/") else flag
    if flag == b"\0":
        return DIRECTORY if name.endswith(b"/") else FILE
    if flag in {b"7", b"S"}:
        return FILE
    raise MalformedHeader(f"its type {flag.decode('latin-1')!r} is not a type in images")


def _cut_at_nul(field: bytes) -> bytes:
    return field.partition(b"\0")[0]


def _decode_path(path: bytes, what: str) -> str:
    if b"\0" in path:
        raise MalformedHeader(f"its {what} has a NUL in it")
    if len(path) >= PATH_MAX:
        raise MalformedHeader(f"its {what} is longer than {PATH_MAX - 1} bytes")
    return os.fsdecode(path)


def _parse_id(recorded: bytes | None, field: bytes, what: str) -> int:
    number = parse_number(field, what) if recorded is None else parse_decimal(recorded, what)
    return _check_range(number, 0, (1 << 32) - 2, what)  # -1 means "unchanged" in chown(2)


def _parse_mtime(recorded: bytes | None, field: bytes) -> int:
    found = parse_number(field, "mtime") * 10**9 if recorded is None else parse_time(recorded)
    return _check_range(found, -_LARGEST, _LARGEST, "mtime")


def _parse_device(major: bytes, minor: bytes) -> tuple[int, int]:
    high, low = parse_number(major, "device number"), parse_number(minor, "device number")
    # Linux has 12 bits for major and 20 for minor numbers (linux/kdev_t.h).
    _check_range(high, 0, (1 << 12) - 1, "device number")
    return high, _check_range(low, 0, (1 << 20) - 1, "device number")


def _check_range(number: int, least: int, most: int, what: str) -> int:
    if not least <= number <= most:
        raise MalformedHeader(f"its {what} {number} is not from {least} to {most}")
    return number


def _parse_xattrs(records: Records) -> tuple[tuple[str, bytes], ...]:
    found = {}
    for key, value in records:
        name = key.removeprefix(_XATTR)
        if len(name) == len(key):
            continue
        if not name or b"\0" in name:
            raise MalformedHeader("an extended attribute has no name")
        found[os.fsdecode(name)] = value
    return tuple(sorted(found.items()))
