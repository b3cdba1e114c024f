"""The files of a stored image: in a folder or inside an archive."""

from __future__ import annotations

import io
import os
import posixpath
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol, cast

from slimtrace.builder.images.read import image_cache
from slimtrace.builder.images.read.document_parser import MAX_DOCUMENT_BYTES
from slimtrace.builder.images.unpack.bytestream import PIECE_BYTES, FileStream
from slimtrace.builder.images.unpack.decompress import ExpectedDigest, is_compressed, open_layer
from slimtrace.builder.images.unpack.limits import read_limits
from slimtrace.builder.images.unpack.tar_reader import FILE, HARDLINK, SYMLINK, TarReader
from slimtrace.builder.os_errors import convert_write_errors
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def open_plain_archive(file: BinaryIO, label: str) -> Generator[BinaryIO]:
    """Open an archive for seeking: the file itself, or a decompressed copy in the cache.

    :param label: its name in messages.
    :raises SlimtraceError: it is damaged or too large, or the copy cannot be written.
    """
    if not is_compressed(os.pread(file.fileno(), 4, 0)):
        yield file
        return
    with image_cache.scratch_folder() as folder:
        path = os.path.join(folder, "archive")
        with (
            convert_write_errors(path),
            open(path, "xb") as copy,
            open_layer(file, label, ExpectedDigest(), read_limits()) as stream,
        ):
            while piece := stream.piece(PIECE_BYTES):
                copy.write(piece)
        with open(path, "rb") as copy:
            yield copy


_MAX_MEMBERS = 100_000
_MAX_LINKS = 8


class Blobs(Protocol):
    """Files by name, such as ``blobs/sha256/…``."""

    def has(self, name: str) -> bool:
        """Whether a file has that name."""

    def open(self, name: str) -> BinaryIO:
        """Open the file.

        :raises SlimtraceError: it does not exist or cannot be read.
        """


def read_document(blobs: Blobs, name: str) -> bytes:
    """Read a document; of one that is too large, read one byte more than the limit.

    :raises SlimtraceError: it cannot be read.
    """
    with blobs.open(name) as file:
        return file.read(MAX_DOCUMENT_BYTES + 1)


class FolderBlobs:
    """Files below a folder.

    :param label: the folder's name in messages.
    """

    def __init__(self, folder: str, label: str) -> None:
        self._folder = folder
        self._label = label

    def has(self, name: str) -> bool:
        return os.path.isfile(os.path.join(self._folder, name))

    def open(self, name: str) -> BinaryIO:
        path = os.path.join(self._folder, name)
        try:
            return open_regular(path)
        except FileNotFoundError:
            raise SlimtraceError(f"cannot read {self._label}: it has no {name}") from None
        except OSError as error:
            raise SlimtraceError(f"cannot read {path}: {error.strerror}") from error


class _MemberLocation(NamedTuple):
    """Where a member's content is in an archive; a link has a target instead.

    :ivar offset: in the archive, in bytes.
    """

    offset: int
    size: int
    target: str | None


class ArchiveBlobs:
    """Members of a tar archive, found in one pass.

    :param file: the uncompressed archive; the caller closes it after the last use of the blobs.
    :param label: its name in messages.
    :raises SlimtraceError: it is damaged, or has more members than an archive of an image.
    """

    def __init__(self, file: BinaryIO, label: str) -> None:
        self._file = file
        self._label = label
        self._places: dict[str, _MemberLocation] = {}
        stream = FileStream(file.fileno())
        for member in TarReader(stream, label):
            name = posixpath.normpath("/" + member.name.lstrip("/"))[1:]
            target = None
            if member.type == SYMLINK:
                target = posixpath.join("/", posixpath.dirname(name), member.target)
            elif member.type == HARDLINK:
                target = "/" + member.target
            elif member.type != FILE or member.sparse is not None:
                continue
            if len(self._places) == _MAX_MEMBERS:
                raise SlimtraceError(
                    f"cannot read {label}: it has more than {_MAX_MEMBERS} members",
                    "name a root tarball as tar:FILE",
                )
            inside = None if target is None else posixpath.normpath(target)[1:]
            self._places[name] = _MemberLocation(stream.at, member.size, inside)

    def has(self, name: str) -> bool:
        return self._place(name) is not None

    def open(self, name: str) -> BinaryIO:
        place = self._place(name)
        if place is None:
            raise SlimtraceError(f"cannot read {self._label}: it has no {name}")
        part = _FilePart(self._file.fileno(), place.offset, place.size)
        return io.BufferedReader(part, 1 << 18)

    def _place(self, name: str) -> _MemberLocation | None:
        place = self._places.get(name)
        for _ in range(_MAX_LINKS):
            if place is None or place.target is None:
                return place
            place = self._places.get(place.target)
        return None


class _FilePart(io.RawIOBase):
    """A part of a file, from an offset on."""

    def __init__(self, fd: int, at: int, size: int) -> None:
        super().__init__()
        self._fd = fd
        self._at = at
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        with memoryview(buffer) as view:
            found = os.preadv(self._fd, [view[: self._left]], self._at) if self._left else 0
        self._at += found
        self._left -= found
        return found


def open_regular(path: str) -> BinaryIO:
    """Open a regular file; O_NONBLOCK, because opening a FIFO would wait for its writer.

    :raises OSError: it cannot be opened, or is not a regular file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(fd).st_mode
    if not stat.S_ISREG(mode):
        os.close(fd)
        kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
        raise OSError(0, f"it is {kind}", path)
    return cast("BinaryIO", open(fd, "rb", buffering=0))
