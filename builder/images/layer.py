"""The one writer of layers: the same entries give the same bytes, wherever they are written.

Layers are compressed by zlib-ng, level 6: 2.5 times as fast as zlib at 2 % more bytes. It brings
its own library, so that a version of it gives the same bytes on every distribution (Debian's and
Fedora's zlib do not) and on every CPU of an architecture, with and without SSE4.2 and AVX2.
ISA-L is six times faster still, at 10 % more bytes, but its output depends on the CPU
(https://github.com/intel/isa-l/issues/140), and so would the image's digest.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import TYPE_CHECKING, BinaryIO

from zlib_ng import zlib_ng

from builder.images.contents import contents
from builder.images.outputs import removing, writing
from builder.images.tar import END, Member, Type, header, padding
from builder.model import Entry, Kind, Layer
from tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable

_LEVEL = 6
_GZIP = 31  # zlib.h, deflateInit2: a gzip wrapper (no name, mtime 0) around a 32 KiB window
# deflate's output depends on how much it is given at once, so it is always given this much.
_CHUNK = 1 << 17

_TYPES = {
    Kind.FILE: Type.FILE,
    Kind.DIRECTORY: Type.DIRECTORY,
    Kind.SYMLINK: Type.SYMLINK,
    Kind.FIFO: Type.FIFO,
}


def write_layer(entries: Iterable[Entry], folder: str) -> Layer:
    """Write a layer that holds the entries into a new file in ``folder`` (image-spec layer.md).

    Contents are read once and pass through; memory does not grow with them. Nothing is left in
    ``folder`` when it fails.

    :raises SlimtraceError: a file is gone or changed, an entry cannot be said in a layer, or the
        layer cannot be written (disk full).
    """
    blob = os.path.join(folder, f"layer-{secrets.token_hex(8)}.tar.gz")
    with writing(blob), removing(blob), open(blob, "xb") as file:
        stream = _Stream(file)
        first: dict[tuple[int, int], str] = {}
        for entry in in_order(entries):
            _add(stream, entry, first)
        return stream.end(blob)


def in_order(entries: Iterable[Entry]) -> list[Entry]:
    """Sorted by the bytes of their paths' names: parents come before what they hold.

    :raises SlimtraceError: a path is not absolute, or has an empty name, ``.`` or ``..`` in it.
    """
    return sorted(entries, key=_names)


def _names(entry: Entry) -> list[bytes]:
    if entry.path == "/":
        return []
    start, *names = os.fsencode(entry.path).split(b"/")
    if start or not names or {b"", b".", b".."}.intersection(names):
        raise SlimtraceError(f"cannot write {entry.path!r} into an image: it is not a plain path")
    return names


def _add(stream: _Stream, entry: Entry, first: dict[tuple[int, int], str]) -> None:
    name = entry.path.removeprefix("/") or "."
    if os.path.basename(name).startswith(".wh."):
        raise SlimtraceError(
            f"cannot put {entry.path} into a layer: names that begin with .wh. delete files there",
            "leave it out of the image",
        )
    target = entry.target
    kind = _TYPES[entry.kind]
    if kind is Type.FILE and entry.hardlink is not None:
        target = first.setdefault(entry.hardlink, name)
        if target == name:
            target = ""
        else:
            kind = Type.HARDLINK
    member = Member(
        name,
        kind,
        entry.mode & 0o7777,
        entry.uid,
        entry.gid,
        # Layers carry whole seconds, as container engines write them; CPython compares a .pyc
        # with its source's mtime in whole seconds, too.
        entry.mtime_ns // 10**9,
        entry.size if kind is Type.FILE else 0,
        target,
        # Hard links repeat their inode's xattrs: an engine that sets the owner once more on
        # unpacking thereby clears security.capability (chown(2)) and must set it again.
        entry.xattrs,
    )
    try:
        stream.feed(header(member))
    except ValueError as error:
        raise SlimtraceError(f"cannot put {entry.path} into a layer: {error}") from error
    if kind is Type.FILE:
        for data in contents(entry):
            stream.feed(data)
        stream.feed(padding(entry.size))


class _Stream:
    """Compresses and hashes what passes on its way to the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._compressor = zlib_ng.compressobj(_LEVEL, zlib_ng.DEFLATED, _GZIP)
        self._pending = bytearray()
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._uncompressed = 0
        self._size = 0

    def feed(self, data: bytes) -> None:
        self._plain.update(data)
        self._uncompressed += len(data)
        self._pending += data
        while len(self._pending) >= _CHUNK:
            self._put(self._compressor.compress(self._pending[:_CHUNK]))
            del self._pending[:_CHUNK]

    def end(self, blob: str) -> Layer:
        self.feed(END)
        self._put(self._compressor.compress(self._pending))
        self._put(self._compressor.flush())
        # What a full disk or a network file system holds back is reported here, not on rename.
        self._file.flush()
        os.fsync(self._file.fileno())
        return Layer(
            blob,
            f"sha256:{self._packed.hexdigest()}",
            f"sha256:{self._plain.hexdigest()}",
            self._size,
            self._uncompressed,
        )

    def _put(self, data: bytes) -> None:
        self._packed.update(data)
        self._size += len(data)
        self._file.write(data)
