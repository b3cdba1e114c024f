"""The traces of one session of tests: a folder of parts while it lasts, one trace at its end."""

from __future__ import annotations

import fcntl
import importlib
import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from tracer.errors import TraceFileError

if TYPE_CHECKING:
    from collections.abc import Callable

_HEADER = b'{"slimtrace":'
_RUN = b'{"run":'


def folder_of(trace: str) -> str:
    """Where the parts of a trace are until they are united."""
    return trace + ".parts"


def part_of(trace: str, name: str) -> str:
    """Where a run of this name goes, which is to be unique among those of all workers."""
    return os.path.join(folder_of(trace), f"{name}.trace")


def begin(trace: str, *, append: bool) -> int:
    """Make the folder of parts and remove an older trace.

    :param append: keep that trace, to unite it with the new parts.
    :returns: a descriptor that keeps others from this trace until it is closed.
    :raises TraceFileError: the file is no trace, another session writes it, or nothing can be
        written there.
    """
    _check_is_trace(trace)
    folder = folder_of(trace)
    try:
        with suppress(FileExistsError):
            os.mkdir(folder)
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise TraceFileError(
                f"cannot write {trace}: another session of tests is writing it",
                "name another file with --slimtrace",
            ) from error
        for left in _parts(folder):  # of a session that was killed
            _remove(left)
        if not append:
            _remove(trace)
    except OSError as error:
        raise TraceFileError(f"cannot write {trace}: {error.strerror}") from error
    return lock


def finish(trace: str) -> tuple[list[str], int]:
    """Unite the parts, and the older trace if it was kept, in the place of that.

    :returns: the traces, of which there are several where nothing here unites them, and the
        number of runs in them.
    :raises SlimtraceError: they cannot be united.
    """
    folder = folder_of(trace)
    try:
        parts = _parts(folder)
        traces = [trace] if os.path.exists(trace) else []
        if parts:
            traces = _unite([*traces, *parts], trace)
        shutil.rmtree(folder)
        return traces, sum(map(_runs, traces))
    except OSError as error:
        raise TraceFileError(f"cannot write {trace}: {error.strerror}") from error


def _unite(sources: list[str], trace: str) -> list[str]:
    if len(sources) > 1:
        merge = _merge()
        if merge is None:
            return _number(sources, trace)
        united = os.path.join(folder_of(trace), "united.trace")
        merge(sources, united, force=True)
        sources = [united]
    _move(sources[0], trace)
    return [trace]


def _merge() -> Callable[..., object] | None:
    try:
        found: Callable[..., object] = importlib.import_module("tracer.merge").merge
    except ModuleNotFoundError:
        return None
    return found


def _number(sources: list[str], trace: str) -> list[str]:
    """TRACE, TRACE.2 and so on."""
    names = [trace, *(f"{trace}.{number}" for number in range(2, len(sources) + 1))]
    for source, name in zip(sources, names, strict=True):
        _move(source, name)
    return names


def _move(source: str, trace: str) -> None:
    if source == trace:
        return
    _remove(trace)
    os.rename(source, trace)
    if os.path.isdir(source + ".d"):
        os.rename(source + ".d", trace + ".d")


def _parts(folder: str) -> list[str]:
    """In the order in which each worker began them: an image runs what the first run ran."""
    names = [name for name in os.listdir(folder) if name.endswith(".trace")]
    names.sort(key=lambda name: (len(name), name))  # for numbers at their ends
    return [os.path.join(folder, name) for name in names]


def _check_is_trace(path: str) -> None:
    """``--slimtrace tests/test_app.py`` is easily said, and is not to cost that file.

    :raises TraceFileError: the file is not empty and no trace.
    """
    try:
        with open(path, "rb") as file:
            first = file.readline(len(_HEADER))
    except FileNotFoundError:
        return
    except OSError as error:
        raise TraceFileError(f"cannot write {path}: {error.strerror}") from error
    if first not in {b"", _HEADER}:
        raise TraceFileError(
            f"cannot write {path}: it exists and is no trace", "say --slimtrace=FILE.trace"
        )


def _remove(trace: str) -> None:
    if os.path.lexists(trace):
        os.unlink(trace)
    shutil.rmtree(trace + ".d", ignore_errors=True)


def _runs(trace: str) -> int:
    with open(trace, "rb") as file:
        return sum(line.startswith(_RUN) for line in file)
