"""Appends lines to a trace: one slimtrace at a time, after the last complete line."""

from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace.reader import check_header
from slimtrace.tracer.trace.text_fields import put, put_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def append_healed(path: str, healed: Iterable[str]) -> None:
    """Add a line ``{"healed": PATH}`` for each path, absolute in the full image.

    :param path: the trace file.
    :raises TraceFileError: see :func:`_append`.
    """
    _append(path, [put("healed", each) for each in healed])


def append_modules(path: str, run: int, modules: Mapping[str, Iterable[str]]) -> None:
    """Add a line for each JAVA_HOME with the modules that a run's JVMs used.

    :param run: the run's number in this file, from 0.
    :raises TraceFileError: see :func:`_append`.
    """
    _append(
        path,
        [
            {**put("jvm", home), **put_list("modules", sorted(names)), "of": run}
            for home, names in sorted(modules.items())
        ],
    )


def _append(path: str, lines: Iterable[dict[str, Any]]) -> None:
    """Add lines to a trace.

    :raises TraceFileError: it is not a trace, another slimtrace is writing it, or it cannot be
        written. The file is then unchanged.
    """
    data = b"".join(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE) for line in lines)
    fd = open_locked(path)
    try:
        with open(os.dup(fd), "rb") as file:
            file.seek(0)
            check_header(path, file.readline())
        end_last_line(fd)
        size = os.fstat(fd).st_size
        try:
            if os.write(fd, data) < len(data):  # the disk is full
                os.ftruncate(fd, size)
                raise TraceFileError(f"cannot write {path}: the disk is full", "free some space")
        except OSError as error:
            raise TraceFileError(f"cannot write {path}: {error.strerror}") from error
    finally:
        os.close(fd)


_CHUNK_BYTES = 65536


def make_write_error(path: str, error: OSError) -> TraceFileError:
    """The error for a trace that cannot be opened, with the next step."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.lexists(folder):
        return TraceFileError(
            f"cannot write {path}: the folder {folder} does not exist", "make it first"
        )
    return TraceFileError(f"cannot write {path}: {error.strerror}", "name another file with -o")


def open_locked(path: str, flags: int = 0) -> int:
    """Open a trace to append to it, and lock it until the descriptor is closed.

    :param flags: further flags of open(2), such as O_CREAT.
    :raises TraceFileError: it cannot be opened, is not a regular file, or another slimtrace has
        the lock.
    """
    try:
        fd = os.open(path, flags | os.O_RDWR | os.O_APPEND | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise make_write_error(path, error) from error
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
    """Remove an incomplete last line, which a killed tracer leaves."""
    size = os.fstat(fd).st_size
    tail = b""
    while size and b"\n" not in tail:
        start = max(0, size - _CHUNK_BYTES)
        tail = os.pread(fd, size - start, start)
        size = start
    os.ftruncate(fd, size + tail.rfind(b"\n") + 1)
