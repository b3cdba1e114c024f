"""Opens a trace to add lines to its end: one slimtrace at a time, after its last whole line."""

from __future__ import annotations

import fcntl
import os
import stat

from slimtrace.tracer.errors import TraceFileError

_TAIL = 65536


def open_locked(path: str, flags: int = 0) -> int:
    """A descriptor that appends, and holds the lock until it is closed.

    :param flags: further flags of open(2), as O_CREAT.
    :raises TraceFileError: it cannot be opened, is no regular file, or another slimtrace has it.
    """
    try:
        fd = os.open(path, flags | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise TraceFileError(f"cannot write {path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise TraceFileError(f"cannot write {path}: it is no regular file")
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(fd)
        raise TraceFileError(
            f"cannot write {path}: another slimtrace is writing it", "name another file with -o"
        ) from error
    return fd


def end_last_line(fd: int) -> None:
    """Cut off a last line that a killed tracer left unfinished."""
    size = os.fstat(fd).st_size
    tail = b""
    while size and b"\n" not in tail:
        start = max(0, size - _TAIL)
        tail = os.pread(fd, size - start, start)
        size = start
    os.ftruncate(fd, size + tail.rfind(b"\n") + 1)
