"""zstd, a block at a time (RFC 8878): no input makes more than 128 KiB at once, none ends early.

The library's own readers cannot tell a frame that is cut off from one that has ended, or give
out all that their input holds, however much that is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zstandard import ZstdDecompressor

from slimtrace.builder.sources.bytestream import Pieces

if TYPE_CHECKING:
    from collections.abc import Iterator

MAGIC = b"\x28\xb5\x2f\xfd"
_SKIPPABLE = (b"\x2a\x4d\x18", range(0x50, 0x60))  # 3.1.2: 0x184D2A50 to 5F, little-endian
_MOST_WINDOW = 1 << 26  # bytes of memory that a frame may ask for; 3.1.1.1.2 advises 8 MiB
_RLE_BLOCK = 1


class CutOff(ValueError):  # noqa: N818 -- what happened, told by who knows the blob's name
    """The data ends within a frame."""


def unzstd(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """What all the frames hold.

    :raises CutOff: the last one has no end.
    :raises zstandard.ZstdError: the data is damaged.
    """
    source = Pieces(pieces)
    while magic := source.take(4):
        if magic[1:] == _SKIPPABLE[0] and magic[0] in _SKIPPABLE[1]:
            size = int.from_bytes(_exactly(source, 4), "little")
            if source.skip(size) < size:
                raise CutOff
            continue
        yield from _frame(source, magic)


def _frame(source: Pieces, magic: bytes) -> Iterator[bytes]:
    frame = ZstdDecompressor(max_window_size=_MOST_WINDOW).decompressobj()
    if magic != MAGIC:
        frame.decompress(magic.ljust(18, b"\0"))  # says what is wrong
        raise CutOff
    descriptor = _exactly(source, 1)
    found = frame.decompress(magic + descriptor + _exactly(source, _header_rest(descriptor[0])))
    last = False
    while not last:
        header = _exactly(source, 3)
        number = int.from_bytes(header, "little")
        last, kind, size = bool(number & 1), number >> 1 & 3, number >> 3
        body = _exactly(source, 1 if kind == _RLE_BLOCK else size)
        found += frame.decompress(header + body)
        if found:
            yield found
            found = b""
    if descriptor[0] & 4:
        found = frame.decompress(_exactly(source, 4))  # verifies the content's checksum
    if not frame.eof:
        raise CutOff
    if found:
        yield found


def _header_rest(descriptor: int) -> int:
    """Bytes of a frame's header after its descriptor (3.1.1.1)."""
    single = descriptor >> 5 & 1
    content = (single, 2, 4, 8)[descriptor >> 6]
    return (1 - single) + (0, 1, 2, 4)[descriptor & 3] + content


def _exactly(source: Pieces, size: int) -> bytes:
    data = source.take(size)
    if len(data) < size:
        raise CutOff
    return data
