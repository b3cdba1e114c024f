"""Archives of images that were packed once more, as by ``docker save | gzip``."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from slimtrace.builder.failing import writing
from slimtrace.builder.sources import cache
from slimtrace.builder.sources.bytestream import PIECE
from slimtrace.builder.sources.limits import budget
from slimtrace.builder.sources.stream import Expected, is_packed, layer_stream

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def plain_archive(file: BinaryIO, label: str) -> Generator[BinaryIO]:
    """The archive as one can seek in it: the file itself, or a copy unpacked in the cache.

    :param label: what it is called in messages.
    :raises SlimtraceError: it is damaged or too large, or the copy cannot be written.
    """
    if not is_packed(os.pread(file.fileno(), 4, 0)):
        yield file
        return
    with cache.scratch() as folder:
        path = os.path.join(folder, "archive")
        with (
            writing(path),
            open(path, "xb") as copy,
            layer_stream(file, label, Expected(), budget()) as stream,
        ):
            while piece := stream.piece(PIECE):
                copy.write(piece)
        with open(path, "rb") as copy:
            yield copy
