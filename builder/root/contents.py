"""Reads the bytes of an entry, and checks their number."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.model import Entry

_CHUNK_BYTES = 1 << 17


def read_contents(entry: Entry) -> Iterator[bytes]:
    """Read the file's bytes in pieces, ``entry.size`` in all; nothing for other kinds.

    :raises SlimtraceError: the file is gone, cannot be read, or has another size now.
    """
    if entry.content is not None:
        yield entry.content
        return
    if entry.source is None:
        if entry.size:
            raise SlimtraceError(f"cannot copy {entry.path}: it has a size and no source")
        return
    try:
        # A symlink or a FIFO that replaced the file must not be followed or waited for.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(entry.source, flags)
    except FileNotFoundError as error:
        raise SlimtraceError(
            f"cannot copy {entry.path}: {entry.source} is gone",
            "copies from the run are in TRACE.d: keep it beside the trace",
        ) from error
    except OSError as error:
        raise SlimtraceError(f"cannot copy {entry.path}: {error.strerror}") from error
    try:
        yield from _read_file(entry, fd)
    except OSError as error:
        raise SlimtraceError(f"cannot copy {entry.path}: {error.strerror}") from error
    finally:
        os.close(fd)


def _read_file(entry: Entry, fd: int) -> Iterator[bytes]:
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        raise _change_error(entry)
    left = entry.size
    while left:
        data = os.read(fd, min(left, _CHUNK_BYTES))
        if not data:
            raise _change_error(entry)
        left -= len(data)
        yield data
    if os.read(fd, 1):
        raise _change_error(entry)


def _change_error(entry: Entry) -> SlimtraceError:
    return SlimtraceError(
        f"cannot copy {entry.path}: it changed while it was read",
        "stop what writes to it, then trace and build again",
    )
