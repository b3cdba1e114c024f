"""The traces of one session of tests: a folder of parts while it lasts, one trace at its end."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace.merge import merge_traces

_HEADER = b'{"slimtrace":'
_RUN = b'{"run":'


def get_parts_folder(trace: str) -> str:
    """Where the parts of a trace are until they are united."""
    return trace + ".parts"


def get_part_path(trace: str, name: str) -> str:
    """Where a run of this name goes, which is to be unique among those of all workers."""
    return os.path.join(get_parts_folder(trace), f"{name}.trace")


def begin_session(trace: str, *, append: bool) -> int:
    """Make the folder of parts and remove an older trace.

    :param append: keep that trace, to unite it with the new parts.
    :returns: a descriptor that keeps others from this trace until it is closed.
    :raises TraceFileError: the file is no trace, another session writes it, or nothing can be
        written there.
    """
    _check_is_trace(trace)
    folder = get_parts_folder(trace)
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
        for left in _list_parts(folder):  # of a session that was killed
            _remove(left)
        if not append:
            _remove(trace)
    except OSError as error:
        raise TraceFileError(f"cannot write {trace}: {error.strerror}") from error
    return lock


def finish_session(trace: str) -> int:
    """Unite the parts, and the older trace if it was kept, in the place of that.

    :returns: the number of runs in it; 0 where there is no trace.
    :raises SlimtraceError: they cannot be united.
    """
    folder = get_parts_folder(trace)
    try:
        sources = [*([trace] if os.path.exists(trace) else []), *_list_parts(folder)]
        if sources:
            merge_traces(sources, trace, force=True)
        shutil.rmtree(folder)
        return _count_runs(trace) if sources else 0
    except OSError as error:
        raise TraceFileError(f"cannot write {trace}: {error.strerror}") from error


def _list_parts(folder: str) -> list[str]:
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


def _count_runs(trace: str) -> int:
    with open(trace, "rb") as file:
        return sum(line.startswith(_RUN) for line in file)
