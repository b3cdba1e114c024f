"""Adds to a trace what a verification missed in the image that was built from it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import orjson

from tracer.errors import TraceFileError
from tracer.tracefile.appending import end_last_line, open_locked
from tracer.tracefile.reader import check_header
from tracer.tracefile.text import put

if TYPE_CHECKING:
    from collections.abc import Iterable


def append_healed(path: str, healed: Iterable[str]) -> None:
    """Add a line ``{"healed": PATH}`` for each path, absolute in the full image.

    :param path: the trace file.
    :raises TraceFileError: it is no trace, is being written by another slimtrace, or cannot be
        written; then it is as it was.
    """
    data = b"".join(
        orjson.dumps(put("healed", each), option=orjson.OPT_APPEND_NEWLINE) for each in healed
    )
    fd = open_locked(path)
    try:
        with open(os.dup(fd), "rb") as file:
            file.seek(0)
            check_header(path, file.readline())
        end_last_line(fd)
        size = os.fstat(fd).st_size
        try:
            if os.write(fd, data) < len(data):  # the disk filled up in mid-line
                os.ftruncate(fd, size)
                raise TraceFileError(f"cannot write {path}: there is no room", "make room")
        except OSError as error:
            raise TraceFileError(f"cannot write {path}: {error.strerror}") from error
    finally:
        os.close(fd)
