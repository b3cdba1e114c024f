"""Merges traces into one file, line by line: nothing in them is lost."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace.append import open_locked
from slimtrace.tracer.trace.image_check import check_same_image
from slimtrace.tracer.trace.reader import read_lines, read_trace
from slimtrace.tracer.trace.run_filter import RunFilter, check_dropped_runs
from slimtrace.tracer.trace.schema import SCHEMA
from slimtrace.tracer.tree_copy import copy_tree
from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.tracer.trace.trace import Trace


def merge_traces(
    traces: Sequence[str],
    to: str,
    *,
    force: bool = False,
    different_images: bool = False,
    drop_runs: Sequence[int] = (),
) -> int:
    """Write the runs of these traces, in this order, to one trace.

    The new trace and its folder of saved files appear complete or not at all. ``to`` may be one
    of ``traces``.

    :param force: replace ``to`` if it exists.
    :param different_images: merge the traces even if their runs used different images.
    :param drop_runs: numbers of runs to leave out, from 1 through all traces.
    :returns: the number of runs.
    :raises UsageError: there is no such run to leave out, or none is left.
    :raises TraceFileError: a trace cannot be read or is damaged, the images differ, ``to`` exists
        or cannot be written.
    """
    if os.path.lexists(to) and not force:
        raise TraceFileError(f"cannot write {to}: it exists", "add --force to replace it")
    if not os.path.lexists(to) and os.path.lexists(f"{to}.d"):
        raise TraceFileError(f"cannot write {to}: {to}.d exists", "move it away")
    if not os.path.isdir(folder := os.path.dirname(os.path.realpath(to))):
        raise TraceFileError(
            f"cannot write {to}: the folder {folder} does not exist", "make it first"
        )
    read = [read_trace(path) for path in traces]
    runs = [run for trace in read for run in trace.runs]
    check_dropped_runs(runs, drop_runs)
    if not different_images:
        check_same_image(list(zip(traces, _without_runs(read, drop_runs), strict=True)))
    place = os.path.realpath(to)
    beside = f"{place}.{secrets.token_hex(4)}.tmp"
    try:
        with _remove_on_error(beside), _lock_trace(to):
            with open(beside, "xb") as file:
                if any(os.stat(path).st_mode & 0o077 == 0 for path in traces):
                    os.fchmod(file.fileno(), 0o600)  # one has requests for its owner alone
                _write(traces, file, f"{beside}.d", drop_runs)
                file.flush()
                os.fsync(file.fileno())
            _replace_trace(beside, place)
    except OSError as error:
        raise TraceFileError(f"cannot write {to}: {error.strerror}") from error
    return len(runs) - len({*drop_runs})


def _without_runs(traces: Sequence[Trace], dropped: Sequence[int]) -> Iterator[Trace]:
    """Yield the traces with only those runs and touched paths that stay."""
    first = 1
    for trace in traces:
        gone = {number - first for number in dropped}
        first += len(trace.runs)
        ended = {image.id for image in trace.processes if image.run in gone}
        yield replace(
            trace,
            runs=tuple(run for index, run in enumerate(trace.runs) if index not in gone),
            paths={name: p for name, p in trace.paths.items() if not ended.issuperset(p.processes)},
        )


def _write(traces: Sequence[str], file: BinaryIO, folder: str, dropped: Sequence[int]) -> None:
    header = {"slimtrace": SCHEMA, "version": VERSION}
    file.write(orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE))
    highest, runs = 0, RunFilter(dropped)
    for number, path in enumerate(traces):
        shift = highest
        runs.begin_file()
        for _, line in read_lines(path):
            highest = max(highest, _renumber(line, shift))
            if not runs.admit(line):
                continue
            for copied in [line] if "blob" in line else _list_volume_copies(line):
                copied["blob"] = _copy(path, copied["blob"], folder, number)
            file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))


def _renumber(line: dict[str, Any], shift: int) -> int:
    """Add ``shift`` to a line's process ids; return the id of its process image, or 0.

    The reader does the same for several traces: the ids of a trace follow those of the trace
    before.
    """
    for key in (
        ("p",) if "use" in line else ("process", "parent") if "process" in line else ("exit",)
    ):
        if line.get(key) is not None:
            line[key] += shift
    process: int = line["process"] if "process" in line and "use" not in line else 0
    return process


def _copy(path: str, blob: str, folder: str, number: int) -> str:
    """Copy a saved file or volume under a name that is unique among all traces.

    If it is missing, nothing is copied: build reports it when it needs the file.
    """
    name = f"{number}-{blob}"
    target = os.path.join(folder, name)
    source = os.path.join(f"{path}.d", blob)
    if os.path.lexists(source) and not os.path.lexists(target):
        os.makedirs(folder, exist_ok=True)
        if os.path.isdir(source):
            copy_tree(source, target)
        else:
            shutil.copy2(source, target, follow_symlinks=False)
    return name


def _list_volume_copies(line: dict[str, Any]) -> list[dict[str, Any]]:
    """List the copies of volumes that a run's line names."""
    run = line.get("run") if "use" not in line else None
    return list(run.get("before", ())) if isinstance(run, dict) else []


def _replace_trace(beside: str, place: str) -> None:
    """Rename a new trace and its folder to their final names; delete the old ones last."""
    old = f"{beside}.old.d"
    with ExitStack() as undo:
        if os.path.lexists(f"{place}.d"):
            os.rename(f"{place}.d", old)
            undo.callback(os.rename, old, f"{place}.d")
        if os.path.isdir(f"{beside}.d"):
            os.rename(f"{beside}.d", f"{place}.d")
            undo.callback(os.rename, f"{place}.d", f"{beside}.d")
        os.rename(beside, place)
        undo.pop_all()
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def _lock_trace(path: str) -> Iterator[None]:
    """Lock a trace that will be replaced, so that no other slimtrace writes it."""
    fd = open_locked(path) if os.path.lexists(path) else None
    try:
        yield
    finally:
        if fd is not None:
            os.close(fd)


@contextmanager
def _remove_on_error(beside: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            os.unlink(beside)
        shutil.rmtree(f"{beside}.d", ignore_errors=True)
        raise
