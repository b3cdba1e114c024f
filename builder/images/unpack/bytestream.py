"""Byte streams for the tar reader: from pieces of any size, or from a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

PIECE_BYTES = 1 << 20


class ByteStream(Protocol):
    """Bytes that are read once, in order."""

    def take(self, size: int) -> bytes:
        """Read the next ``size`` bytes; fewer at the end."""

    def piece(self, size: int) -> bytes | memoryview:
        """Read up to ``size`` bytes, without a copy where possible; none at the end."""

    def skip(self, size: int) -> int:
        """Skip ``size`` bytes; return how many there were."""


class PieceStream:
    """A stream of pieces, none of which is empty."""

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
    """The bytes of a regular file; skipped ones are not read.

    :param fd: the caller closes it.
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
    """Read ``size`` bytes that are spread over several pieces."""
    found = bytearray()
    while len(found) < size:
        part = stream.piece(size - len(found))
        if not part:
            break
        found += part
    return bytes(found)
