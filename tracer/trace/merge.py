"""Merges traces into one file, line by line: nothing in them is lost."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from contextlib import ExitStack, contextmanager, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace.append import open_locked
from slimtrace.tracer.trace.reader import read_lines, read_trace
from slimtrace.tracer.trace.schema import SCHEMA
from slimtrace.tracer.trace.trace import State, Use
from slimtrace.tracer.tree_copy import copy_tree
from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.tracer.trace.trace import Trace

_HINT = "to merge them anyway, add --different-images; build may then need --image"


def check_same_image(traces: Sequence[tuple[str, Trace]]) -> None:
    """Check that all runs used the same image.

    Images are compared by digest, else by name. The name ``rootfs:/`` is the same on every
    machine; so without digests a program or library that two traces touched must also have the
    same size and time.

    :param traces: each with its file's name.
    :raises TraceFileError: the images differ.
    """
    runs = [(path, run) for path, trace in traces for run in trace.runs]
    for (path, run), (other_path, other) in pairwise(runs):
        one, two = run.image_digest or run.image, other.image_digest or other.image
        if one != two:
            raise TraceFileError(
                f"cannot merge {path} and {other_path}: they are of different images: "
                f"{_describe_image(run.image, run.image_digest)} and "
                f"{_describe_image(other.image, other.image_digest)}",
                _HINT,
            )
    if any(run.image_digest for _, run in runs):
        return
    known: dict[str, tuple[str, tuple[int, int]]] = {}
    for path, trace in traces:
        for name, is_as in _list_programs(trace).items():
            first, was_as = known.setdefault(name, (path, is_as))
            if was_as != is_as:
                raise TraceFileError(
                    f"cannot merge {first} and {path}: they are of different images: "
                    f"{name} is another file",
                    _HINT,
                )


def _describe_image(image: str, digest: str | None) -> str:
    return f"{image} ({digest})" if digest else image


def _list_programs(trace: Trace) -> dict[str, tuple[int, int]]:
    """Return path → size and time of each program and library."""
    return {
        path.path: (path.fingerprint.size, path.fingerprint.mtime_ns)
        for path in trace.with_state(State.FILE)
        if path.fingerprint is not None
        and stat.S_ISREG(path.fingerprint.mode)
        and (Use.EXEC in path.uses or ".so" in os.path.basename(path.path))
    }


def merge_traces(
    traces: Sequence[str], to: str, *, force: bool = False, different_images: bool = False
) -> None:
    """Write the runs of these traces, in this order, to one trace.

    The new trace and its folder of saved files appear complete or not at all. ``to`` may be one
    of ``traces``.

    :param force: replace ``to`` if it exists.
    :param different_images: merge the traces even if their runs used different images.
    :raises TraceFileError: a trace cannot be read or is damaged, the images differ, ``to`` exists
        or cannot be written.
    """
    if os.path.lexists(to) and not force:
        raise TraceFileError(f"cannot write {to}: it exists", "add --force to replace it")
    if not os.path.lexists(to) and os.path.lexists(f"{to}.d"):
        raise TraceFileError(f"cannot write {to}: {to}.d exists", "move it away")
    read = [read_trace(path) for path in traces]
    if not different_images:
        check_same_image(list(zip(traces, read, strict=True)))
    place = os.path.realpath(to)
    beside = f"{place}.{secrets.token_hex(4)}.tmp"
    try:
        with _remove_on_error(beside), _lock_trace(to):
            with open(beside, "xb") as file:
                _write(traces, file, f"{beside}.d")
                file.flush()
                os.fsync(file.fileno())
            _replace_trace(beside, place)
    except OSError as error:
        raise TraceFileError(f"cannot write {to}: {error.strerror}") from error


def _write(traces: Sequence[str], file: BinaryIO, folder: str) -> None:
    header = {"slimtrace": SCHEMA, "version": VERSION}
    file.write(orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE))
    highest = runs = 0
    for number, path in enumerate(traces):
        shift, first_run = highest, runs
        for _, line in read_lines(path):
            highest = max(highest, _renumber(line, shift))
            if ("jvm" in line or "jvm_b64" in line) and isinstance(line.get("of"), int):
                line["of"] += first_run
            runs += "run" in line and "use" not in line
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
