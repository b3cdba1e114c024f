"""Parses the maps of sparse files in tar archives: where the stored data belongs in the file.

Source: GNU tar's manual, "Storing Sparse Files" (the old GNU format, PAX 0.0, 0.1 and 1.0).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.images.unpack.pax import (
    MalformedHeader,
    Records,
    parse_decimal,
    parse_number,
)

if TYPE_CHECKING:
    from slimtrace.builder.images.unpack.bytestream import ByteStream

BLOCK = 512
_MAX_PIECES = 1 << 18
_OLD_HEADER_MAP = (386, 4)  # offset and number of the (offset, size) pairs in an 'S' header
_OLD_BLOCK_PAIRS = 21
_NUMBER_BYTES = 12


class SparseFile(NamedTuple):
    """A sparse file.

    :ivar size: bytes, including the holes.
    :ivar pieces: offset and size of each piece of data, in order, none overlapping.
    """

    size: int
    pieces: tuple[tuple[int, int], ...]


def check_pieces(size: int, pieces: list[tuple[int, int]], stored: int) -> SparseFile:
    """Check that a map covers all ``stored`` bytes and none beyond ``size``.

    :raises MalformedHeader: it does not, or its pieces overlap.
    """
    end = total = 0
    for offset, length in pieces:
        if offset < end or length < 0:
            raise MalformedHeader("its map of holes is not in order")
        end = offset + length
        total += length
    if end > size or total != stored:
        raise MalformedHeader("its map of holes does not fit its size")
    return SparseFile(size, tuple(piece for piece in pieces if piece[1]))


def read_old_map(block: bytes, stream: ByteStream, stored: int) -> SparseFile:
    """Read the map in an ``S`` header and in the blocks after it.

    :raises MalformedHeader: it is damaged.
    """
    start, number = _OLD_HEADER_MAP
    pieces = _read_old_pairs(block[start:], number)
    more = block[482]
    while more:
        extension = stream.take(BLOCK)
        if len(extension) < BLOCK:
            raise MalformedHeader("its map of holes is truncated")
        pieces += _read_old_pairs(extension, _OLD_BLOCK_PAIRS)
        _check_count(len(pieces))
        more = extension[504]
    return check_pieces(parse_number(block[483:495], "size"), pieces, stored)


def parse_recorded_map(records: Records, stored: int) -> SparseFile | None:
    """Parse the map in PAX records, versions 0.0 and 0.1; None where there is none.

    :raises MalformedHeader: it is damaged.
    """
    known = dict(records)
    if b"GNU.sparse.size" not in known:
        return None
    if b"GNU.sparse.map" in known:
        listed = known[b"GNU.sparse.map"]
        numbers = (
            [parse_decimal(part, "map of holes") for part in listed.split(b",")] if listed else []
        )
    else:
        pairs = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
        found = [(key, value) for key, value in records if key in pairs]
        if [key for key, _ in found] != [*pairs] * (len(found) // 2):
            raise MalformedHeader("its map of holes is not in pairs")
        numbers = [parse_decimal(value, "map of holes") for _, value in found]
    size = parse_decimal(known[b"GNU.sparse.size"], "size")
    return check_pieces(size, _make_pairs(numbers), stored)


def read_leading_map(stream: ByteStream, size: int, stored: int) -> tuple[SparseFile, int]:
    """Read the map before the data (PAX 1.0); return it and its size in bytes.

    :raises MalformedHeader: it is damaged.
    """
    numbers: list[int] = []
    taken = 0
    rest = b""
    count = 1
    while len(numbers) < count:
        block = stream.take(BLOCK) if taken + BLOCK <= stored else b""
        if len(block) < BLOCK:
            raise MalformedHeader("its map of holes is truncated")
        taken += BLOCK
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            if len(numbers) == count:
                break
            numbers.append(parse_decimal(line, "map of holes"))
            if len(numbers) == 1:
                count = 1 + 2 * numbers[0]
                _check_count(numbers[0])
        if len(rest) > BLOCK:
            raise MalformedHeader("its map of holes is damaged")
    return check_pieces(size, _make_pairs(numbers[1:]), stored - taken), taken


def _read_old_pairs(data: bytes, number: int) -> list[tuple[int, int]]:
    found = []
    for at in range(0, number * 2 * _NUMBER_BYTES, 2 * _NUMBER_BYTES):
        offset, size = (
            data[at : at + _NUMBER_BYTES],
            data[at + _NUMBER_BYTES : at + 2 * _NUMBER_BYTES],
        )
        if not offset.strip(b"\0"):
            break
        found.append((parse_number(offset, "map of holes"), parse_number(size, "map of holes")))
    return found


def _make_pairs(numbers: list[int]) -> list[tuple[int, int]]:
    if len(numbers) % 2:
        raise MalformedHeader("its map of holes is not in pairs")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _check_count(pieces: int) -> None:
    if pieces > _MAX_PIECES:
        raise MalformedHeader(f"its map of holes has more than {_MAX_PIECES} pieces")
