"""Writes a layer: the same entries give the same bytes on every machine."""

from __future__ import annotations

import hashlib
import os
import secrets
from typing import TYPE_CHECKING, BinaryIO, Self

from slimtrace.builder.images.write.atomic import remove_on_error
from slimtrace.builder.images.write.gzip import Gzip
from slimtrace.builder.images.write.tar import END, TarHeader, TarType, make_header, make_padding
from slimtrace.builder.model import Entry, Kind, Layer
from slimtrace.builder.os_errors import convert_write_errors
from slimtrace.builder.root.contents import read_contents
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_TYPES = {
    Kind.FILE: TarType.FILE,
    Kind.DIRECTORY: TarType.DIRECTORY,
    Kind.SYMLINK: TarType.SYMLINK,
    Kind.FIFO: TarType.FIFO,
}


def write_layer(
    entries: Iterable[Entry], folder: str, read: Callable[[Entry], Iterator[bytes]] = read_contents
) -> Layer:
    """Write a layer with the entries into a new file in ``folder`` (image-spec layer.md).

    Contents are read once, as a stream. Nothing is left in ``folder`` if it fails.

    :param read: returns an entry's bytes in pieces.
    :raises SlimtraceError: a file is gone or changed, an entry has no form in a layer, or the
        layer cannot be written (disk full).
    """
    blob = os.path.join(folder, f"layer-{secrets.token_hex(8)}.tar.gz")
    with (
        convert_write_errors(blob),
        remove_on_error(blob),
        open(blob, "xb") as file,
        _Stream(file) as stream,
    ):
        first: dict[tuple[int, int], str] = {}
        for entry in sort_entries(entries):
            _add(stream, entry, first, read)
        return stream.end(blob)


def sort_entries(entries: Iterable[Entry]) -> list[Entry]:
    """Sort entries by the bytes of the names in their paths: parents before children.

    :raises SlimtraceError: a path is not absolute, or contains an empty name, ``.`` or ``..``.
    """
    return sorted(entries, key=_path_names)


def _path_names(entry: Entry) -> list[bytes]:
    if entry.path == "/":
        return []
    start, *names = os.fsencode(entry.path).split(b"/")
    if start or not names or {b"", b".", b".."}.intersection(names):
        raise SlimtraceError(f"cannot write {entry.path!r} into an image: it is not a plain path")
    return names


def _add(
    stream: _Stream,
    entry: Entry,
    first: dict[tuple[int, int], str],
    read: Callable[[Entry], Iterator[bytes]],
) -> None:
    name = entry.path.removeprefix("/") or "."
    if os.path.basename(name).startswith(".wh."):
        raise SlimtraceError(
            f"cannot put {entry.path} into a layer: names that begin with .wh. delete files there",
            "leave it out of the image",
        )
    target = entry.target
    kind = _TYPES[entry.kind]
    if entry.hardlink is not None:
        one = first.setdefault(entry.hardlink, name)
        if one != name:
            kind, target = TarType.HARDLINK, one
    member = TarHeader(
        name,
        kind,
        entry.mode & 0o7777,
        entry.uid,
        entry.gid,
        # Whole seconds, as container engines write them; CPython compares a .pyc with its
        # source's mtime in whole seconds, too.
        entry.mtime_ns // 10**9,
        entry.size if kind is TarType.FILE else 0,
        target,
        # Hard links repeat their inode's xattrs: an engine that sets the owner again for each link
        # clears security.capability (chown(2)), and must set it again.
        entry.xattrs,
    )
    try:
        stream.feed(make_header(member))
    except ValueError as error:
        raise SlimtraceError(f"cannot put {entry.path} into a layer: {error}") from error
    if kind is TarType.FILE:
        for data in read(entry):
            stream.feed(data)
        stream.feed(make_padding(entry.size))


class _Stream:
    """Hashes and compresses a tar on its way to the file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._plain = hashlib.sha256()
        self._packed = hashlib.sha256()
        self._uncompressed = 0
        self._size = 0
        self._gzip = Gzip(self._put)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._gzip.__exit__()

    def feed(self, data: bytes) -> None:
        self._plain.update(data)
        self._uncompressed += len(data)
        self._gzip.feed(data)

    def end(self, blob: str) -> Layer:
        self.feed(END)
        self._gzip.end()
        # Errors of a full disk or a network file system are reported here, not on rename.
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
