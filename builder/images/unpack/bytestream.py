"""Bytes in order, as the tar reader wants them: from pieces that come in, or from a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES = 1 << 20


class ByteStream(Protocol):
    """Bytes that are read once, from the first to the last."""

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes; fewer at the end."""

    def piece(self, size: int) -> bytes | memoryview:
        """Some of the next ``size`` bytes, without a copy where that can be; none at the end."""

    def skip(self, size: int) -> int:
        """Pass over ``size`` bytes; how many of them were there."""


class PieceStream:
    """A stream made of pieces, none of them empty."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._piece = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        at = self._at
        if at + size <= len(self._piece):
            self._at = at + size
            return self._piece[at : at + size]
        return _join_pieces(self, size)

    def piece(self, size: int) -> bytes | memoryview:
        at = self._at
        if at == len(self._piece):
            self._piece, at = next(self._pieces, b""), 0
        self._at = min(at + size, len(self._piece))
        if at == 0 and self._at == len(self._piece):
            return self._piece
        return memoryview(self._piece)[at : self._at]

    def skip(self, size: int) -> int:
        left = size
        while left:
            passed = len(self.piece(left))
            if not passed:
                break
            left -= passed
        return size - left


class FileStream:
    """A regular file's bytes; what is skipped is not read.

    :param fd: stays the caller's.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self.at = 0

    def take(self, size: int) -> bytes:
        return _join_pieces(self, size)

    def piece(self, size: int) -> bytes | memoryview:
        part = os.pread(self._fd, min(size, PIECE_BYTES), self.at)
        self.at += len(part)
        return part

    def skip(self, size: int) -> int:
        passed = max(0, min(size, self._size - self.at))
        self.at += passed
        return passed


def _join_pieces(stream: ByteStream, size: int) -> bytes:
    """What :meth:`ByteStream.take` takes, from as many pieces as it lies in."""
    found = bytearray()
    while len(found) < size:
        part = stream.piece(size - len(found))
        if not part:
            break
        found += part
    return bytes(found)
