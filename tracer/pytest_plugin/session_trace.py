"""The trace of a test session: a folder with parts during the session, one trace at the end."""

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
    """Return the folder for the parts of a trace until they are merged."""
    return trace + ".parts"


def get_part_path(trace: str, name: str) -> str:
    """Return the trace of one run; ``name`` must be unique among all workers."""
    return os.path.join(get_parts_folder(trace), f"{name}.trace")


def begin_session(trace: str, *, append: bool) -> int:
    """Create the folder for the parts and remove an older trace.

    :param append: keep that trace, to merge it with the new parts.
    :returns: a descriptor that locks the trace until it is closed.
    :raises TraceFileError: the file is not a trace, another session writes it, or it cannot be
        written.
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
    """Merge the parts, and the older trace if it was kept, to one trace.

    :returns: the number of runs in it; 0 if there is no trace.
    :raises SlimtraceError: they cannot be merged.
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
    """List the parts in the order of each worker: the first run decides the image's command."""
    names = [name for name in os.listdir(folder) if name.endswith(".trace")]
    names.sort(key=lambda name: (len(name), name))  # for numbers at their ends
    return [os.path.join(folder, name) for name in names]


def _check_is_trace(path: str) -> None:
    """Protect other files: ``--slimtrace tests/test_app.py`` is an easy mistake.

    :raises TraceFileError: the file is not empty and not a trace.
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
            f"cannot write {path}: it exists and is not a trace", "use --slimtrace=FILE.trace"
        )


def _remove(trace: str) -> None:
    if os.path.lexists(trace):
        os.unlink(trace)
    shutil.rmtree(trace + ".d", ignore_errors=True)


def _count_runs(trace: str) -> int:
    with open(trace, "rb") as file:
        return sum(line.startswith(_RUN) for line in file)
