"""Adds to a trace what was learnt after its runs: by a verification, or by repeating one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.tracefile.appending import end_last_line, open_locked
from slimtrace.tracer.tracefile.reader import check_header
from slimtrace.tracer.tracefile.text import put, put_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def append_healed(path: str, healed: Iterable[str]) -> None:
    """Add a line ``{"healed": PATH}`` for each path, absolute in the full image.

    :param path: the trace file.
    :raises TraceFileError: as :func:`_append` does.
    """
    _append(path, [put("healed", each) for each in healed])


def append_modules(path: str, run: int, modules: Mapping[str, Iterable[str]]) -> None:
    """Add a line for each JAVA_HOME with the modules that a run's JVMs used.

    :param run: its place in this file, from 0.
    :raises TraceFileError: as :func:`_append` does.
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

    :raises TraceFileError: it is no trace, is being written by another slimtrace, or cannot be
        written; then it is as it was.
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
            if os.write(fd, data) < len(data):  # the disk filled up in mid-line
                os.ftruncate(fd, size)
                raise TraceFileError(f"cannot write {path}: there is no room", "make room")
        except OSError as error:
            raise TraceFileError(f"cannot write {path}: {error.strerror}") from error
    finally:
        os.close(fd)
