"""Decompresses and verifies a layer's blob, in one pass.

A thread reads, hashes and inflates ahead (all three release Python's lock), while the caller
writes files.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import contextmanager
from queue import Empty, Queue
from typing import TYPE_CHECKING, NamedTuple, Protocol

from zlib_ng import zlib_ng
from zstandard import ZstdDecompressor, ZstdError

from slimtrace.builder.images.unpack.bytestream import PIECE_BYTES, PieceStream
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from slimtrace.builder.images.unpack.limits import UnpackLimits

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = (
    b"\x2a\x4d\x18",
    range(0x50, 0x60),
)  # RFC 8878, 3.1.2: 0x184D2A50 to 5F, little-endian
_MAX_WINDOW_BYTES = 1 << 26  # of memory for one frame; RFC 8878, 3.1.1.1.2 advises 8 MiB
_RLE_BLOCK = 1


class TruncatedStream(ValueError):  # noqa: N818 -- becomes a SlimtraceError with the blob's name
    """The data ends inside a frame."""


def unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress all frames (RFC 8878).

    :raises TruncatedStream: the last frame has no end.
    :raises zstandard.ZstdError: the data is damaged.
    """
    source = PieceStream(pieces)
    while magic := source.take(4):
        if magic[1:] == _SKIPPABLE[0] and magic[0] in _SKIPPABLE[1]:
            size = int.from_bytes(_take_exactly(source, 4), "little")
            if source.skip(size) < size:
                raise TruncatedStream
            continue
        yield from _decompress_frame(source, magic)


def _decompress_frame(source: PieceStream, magic: bytes) -> Iterator[bytes]:
    frame = ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES).decompressobj()
    if magic != ZSTD_MAGIC:
        frame.decompress(magic.ljust(18, b"\0"))  # raises the error with the cause
        raise TruncatedStream
    descriptor = _take_exactly(source, 1)
    found = frame.decompress(
        magic + descriptor + _take_exactly(source, _frame_header_size(descriptor[0]))
    )
    last = False
    while not last:
        header = _take_exactly(source, 3)
        number = int.from_bytes(header, "little")
        last, kind, size = bool(number & 1), number >> 1 & 3, number >> 3
        body = _take_exactly(source, 1 if kind == _RLE_BLOCK else size)
        found += frame.decompress(header + body)
        if found:
            yield found
            found = b""
    if descriptor[0] & 4:
        found = frame.decompress(_take_exactly(source, 4))  # verifies the content's checksum
    if not frame.eof:
        raise TruncatedStream
    if found:
        yield found


def _frame_header_size(descriptor: int) -> int:
    """Bytes of a frame's header after its descriptor (RFC 8878, 3.1.1.1)."""
    single = descriptor >> 5 & 1
    content = (single, 2, 4, 8)[descriptor >> 6]
    return (1 - single) + (0, 1, 2, 4)[descriptor & 3] + content


def _take_exactly(source: PieceStream, size: int) -> bytes:
    data = source.take(size)
    if len(data) < size:
        raise TruncatedStream
    return data


_GZIP_MAGIC = b"\x1f\x8b"
_READ_BYTES = 1 << 18
_QUEUE_PIECES = 4  # of a megabyte each
_TRUNCATED = "its compressed data is truncated"
_GZIP_WINDOW_BITS = 31  # zlib.h, inflateInit2: a gzip wrapper around a window of at most 32 KiB
_ALGORITHMS = ("sha256", "sha512")  # image-spec descriptor.md, "Registered algorithms"


class ExpectedDigest(NamedTuple):
    """What a blob must be; None where it is unknown.

    :ivar digest: of the blob as it is stored, ``sha256:…`` or ``sha512:…``.
    :ivar size: of the blob as it is stored, in bytes.
    :ivar diff_id: digest of the tar in it.
    """

    digest: str | None = None
    size: int | None = None
    diff_id: str | None = None


class Readable(Protocol):
    """A source of a blob's bytes."""

    def read(self, size: int, /) -> bytes: ...


class HashingReader:
    """Reads a file and hashes what it reads."""

    def __init__(self, file: Readable) -> None:
        self._file = file
        self._hash = hashlib.sha256()

    def read(self, size: int, /) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def digest(self) -> str:
        """The digest of all bytes that were read."""
        return f"sha256:{self._hash.hexdigest()}"


class _DamagedBlob(Exception):  # noqa: N818 -- becomes a SlimtraceError with the blob's name
    pass


class _VerifiedBlob:
    """Reads a blob as stored, and verifies it at the end."""

    def __init__(self, blob: Readable, expected: ExpectedDigest) -> None:
        self._blob = blob
        self._expected = expected
        self._hash = _make_hash(expected.digest)
        self._size = 0

    def read(self, size: int) -> bytes:
        data = self._blob.read(size)
        self._size += len(data)
        if self._expected.size is not None and self._size > self._expected.size:
            raise _DamagedBlob(
                f"it is larger than the {self._expected.size} bytes that it should have"
            )
        if self._hash is not None:
            self._hash.update(data)
        return data

    def check(self) -> None:
        while self.read(_READ_BYTES):
            pass
        if self._expected.size is not None and self._size != self._expected.size:
            raise _DamagedBlob(f"it has {self._size} bytes and should have {self._expected.size}")
        _check_digest(self._hash, self._expected.digest, "digest")


def is_compressed(start: bytes) -> bool:
    """Whether a file with this start is compressed by gzip or zstd."""
    return start.startswith((_GZIP_MAGIC, ZSTD_MAGIC))


@contextmanager
def open_layer(
    blob: Readable, label: str, expected: ExpectedDigest, budget: UnpackLimits
) -> Generator[PieceStream]:
    """Read the tar in ``blob``, which is plain or compressed by gzip or zstd.

    When the block ends without an error, the rest is read and everything is verified.

    :param label: the blob's name in messages.
    :raises SlimtraceError: it is damaged, not the expected one, or larger than ``budget`` allows.
    """
    queue: Queue[bytes | BaseException | None] = Queue(_QUEUE_PIECES)
    stop = threading.Event()

    def fill() -> None:
        last: BaseException | None = None
        try:
            for piece in _decompress_verified(blob, expected, budget):
                queue.put(piece)
                if stop.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 -- raised again in the caller's thread
            last = error
        queue.put(last)

    thread = threading.Thread(target=fill, name=f"slimtrace {label}", daemon=True)
    thread.start()
    pieces = PieceStream(_take_pieces(queue, label))
    try:
        yield pieces
        while pieces.piece(PIECE_BYTES):
            pass
    finally:
        stop.set()
        while thread.is_alive():
            try:
                queue.get(timeout=0.01)
            except Empty:
                continue


def _take_pieces(queue: Queue[bytes | BaseException | None], label: str) -> Iterator[bytes]:
    while True:
        piece = queue.get()
        if isinstance(piece, bytes):
            yield piece
            continue
        if piece is None:
            return
        if isinstance(piece, _DamagedBlob | TruncatedStream | zlib_ng.error | ZstdError):
            cause, hint = _cause(piece), "fetch or build the image again"
            raise SlimtraceError(f"cannot read {label}: {cause}", hint) from piece
        if isinstance(piece, OSError):
            raise SlimtraceError(f"cannot read {label}: {piece.strerror or piece}") from piece
        raise piece


def _cause(error: BaseException) -> str:
    match error:
        case _DamagedBlob():
            return str(error)
        case TruncatedStream():
            return _TRUNCATED
        case _:
            return f"its compressed data is damaged ({error})"


def _decompress_verified(
    blob: Readable, expected: ExpectedDigest, budget: UnpackLimits
) -> Iterator[bytes]:
    packed = _VerifiedBlob(blob, expected)
    plain = _make_hash(expected.diff_id)
    for piece in _decompress(packed):
        budget.spend_size(len(piece))
        if plain is not None:
            plain.update(piece)
        yield piece
    packed.check()
    _check_digest(plain, expected.diff_id, "diff_id")


def _decompress(packed: _VerifiedBlob) -> Iterator[bytes]:
    start = packed.read(_READ_BYTES)
    if start.startswith(_GZIP_MAGIC):
        yield from _gunzip(packed, start)
    elif start.startswith(ZSTD_MAGIC):
        yield from unzstd(_read_rest(packed, start))
    else:
        yield from _read_rest(packed, start)


def _read_rest(packed: _VerifiedBlob, start: bytes) -> Iterator[bytes]:
    while start:
        yield start
        start = packed.read(PIECE_BYTES)


def _gunzip(packed: _VerifiedBlob, data: bytes) -> Iterator[bytes]:
    """Decompress every member of a gzip file (RFC 1952, 2.2); zeros after the last are padding."""
    while data:
        member = zlib_ng.decompressobj(_GZIP_WINDOW_BITS)
        while not member.eof:
            if not data:
                raise TruncatedStream
            piece = member.decompress(data, PIECE_BYTES)
            data = member.unconsumed_tail or (b"" if member.eof else packed.read(_READ_BYTES))
            if piece:
                yield piece
        data = member.unused_data or packed.read(_READ_BYTES)
        while data and not data.strip(b"\0"):
            data = packed.read(_READ_BYTES)


def _make_hash(digest: str | None) -> hashlib._Hash | None:
    if digest is None:
        return None
    algorithm = digest.partition(":")[0]
    if algorithm not in _ALGORITHMS:
        raise _DamagedBlob(f"its digest {digest} is neither sha256 nor sha512")
    return hashlib.new(algorithm)


def _check_digest(made: hashlib._Hash | None, expected: str | None, what: str) -> None:
    if made is None or expected is None:
        return
    found = f"{made.name}:{made.hexdigest()}"
    if found != expected:
        raise _DamagedBlob(f"its {what} is {found} and should be {expected}")
