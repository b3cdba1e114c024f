"""The bytes of an entry, read once and as many as its metadata says."""

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
    """The file's bytes in pieces, ``entry.size`` in all; none for what has none.

    :raises SlimtraceError: the file is gone, cannot be read, or is not as long as it was.
    """
    if entry.content is not None:
        yield entry.content
        return
    if entry.source is None:
        if entry.size:
            raise SlimtraceError(f"cannot copy {entry.path}: nothing holds its bytes")
        return
    try:
        # Not followed, not blocking: what is now a symlink or a FIFO is not what was selected.
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        fd = os.open(entry.source, flags)
    except FileNotFoundError as error:
        raise SlimtraceError(
            f"cannot copy {entry.path}: {entry.source} is gone",
            "a copy put aside during the run lies in TRACE.d: keep it beside the trace",
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
