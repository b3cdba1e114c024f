"""Compression on several cores: one gzip stream, the same for any number of cores."""

from __future__ import annotations

import gzip
import os
import subprocess

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from slimtrace.builder.images.write.gzip import Gzip

PIECE = 1 << 19


def compress(parts: list[bytes], cores: int | None = None) -> bytes:
    chunks: list[bytes] = []
    with Gzip(chunks.append, cores) as stream:
        for part in parts:
            stream.feed(part)
        stream.end()
    return b"".join(chunks)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 5 * PIECE + 12345])
def test_any_gzip_reads_it(size: int) -> None:
    data = b"".join(b"%d squared is %d\n" % (n, n * n) for n in range(size // 15 + 1))[:size]
    made = compress([data])
    assert gzip.decompress(made) == data
    checked = subprocess.run(["gzip", "-dc"], input=made, capture_output=True, check=True)
    assert checked.stdout == data


def test_the_number_of_cores_is_not_seen() -> None:
    data = os.urandom(PIECE) * 3 + b"x" * 100_000
    one = compress([data], 1)
    assert {compress([data], cores) for cores in (2, 3, 8)} == {one}


@settings(deadline=None, max_examples=30)
@given(some.lists(some.binary(max_size=300_000), max_size=8), some.integers(1, 4))
def test_how_it_is_fed_is_not_seen(parts: list[bytes], cores: int) -> None:
    whole = b"".join(parts)
    assert compress(parts, cores) == compress([whole], 1)
    assert gzip.decompress(compress(parts, cores)) == whole


def test_pieces_know_what_came_before() -> None:
    """Without a dictionary each piece would be compressed alone."""
    data = os.urandom(20_000) * 100
    assert len(compress([data])) < 60_000


def test_a_failure_to_write_is_told() -> None:
    left = [b"header"]

    def write(_: bytes) -> None:
        if not left:
            raise OSError(28, "No space left on device")
        left.pop()

    with Gzip(write) as stream, pytest.raises(OSError, match="No space"):
        stream.feed(bytes(20 * PIECE))
