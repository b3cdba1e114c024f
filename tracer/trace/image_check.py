"""Checks that runs in one trace are of one image."""

from __future__ import annotations

import os
import stat
from itertools import pairwise
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.tracer.trace.trace import Trace, TracedPath

_LIVE_ROOT = "rootfs:/"
_CHANGES = {Use.WRITE, Use.CREATE, Use.DELETE}
_MERGE_HINT = "to merge them anyway, add --different-images; build may then need --image"


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
                _MERGE_HINT,
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
                    _MERGE_HINT,
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


def check_appended_image(path: str, trace: Trace, image: str, digest: str | None) -> None:
    """Check, before a run is added to a trace, that the earlier runs used the same image.

    The root of this machine is the same as long as the programs that the trace executed are.

    :param image: the image of the new run, and its digest.
    :raises TraceFileError: it is another image.
    """
    failure = f"cannot add this run to {path}"
    hint = "name another trace with -o, or replace this one: leave out --append"
    new = _describe_image(image, digest)
    for number, run in enumerate(trace.runs, start=1):
        if (run.image_digest or run.image) != (digest or image):
            old = _describe_image(run.image, run.image_digest)
            raise TraceFileError(f"{failure}: run {number} is of {old}, this one of {new}", hint)
    if image != _LIVE_ROOT:
        return
    for each in trace.with_state(State.FILE):
        if Use.EXEC in each.uses and not each.uses & _CHANGES and _is_another_file(each):
            raise TraceFileError(
                f"{failure}: it is of another machine, or older: {each.path} is another file now",
                hint,
            )


def _is_another_file(traced: TracedPath) -> bool:
    was = traced.fingerprint
    if was is None or not stat.S_ISREG(was.mode):
        return False
    try:
        now = os.stat(traced.path)
    except OSError:
        return True
    return (now.st_size, now.st_mtime_ns) != (was.size, was.mtime_ns)
