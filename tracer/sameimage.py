"""Whether traces are of one image."""

from __future__ import annotations

import os
import stat
from itertools import pairwise
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import TraceFileError
from slimtrace.tracer.model import State, Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.tracer.model import Trace

_HINT = "say --different-images to merge them all the same; build may then need --image"


def check_same_image(traces: Sequence[tuple[str, Trace]]) -> None:
    """Raise unless all runs saw one image, by its digest.

    Without digests by its name, if no program or library that two traces touched has another size
    or time: ``rootfs:/`` is every machine's.

    :param traces: each with its file's name.
    :raises TraceFileError: they are not.
    """
    runs = [(path, run) for path, trace in traces for run in trace.runs]
    for (path, run), (other_path, other) in pairwise(runs):
        one, two = run.image_digest or run.image, other.image_digest or other.image
        if one != two:
            raise TraceFileError(
                f"cannot merge {path} and {other_path}: they are of different images: "
                f"{_named(run.image, run.image_digest)} and "
                f"{_named(other.image, other.image_digest)}",
                _HINT,
            )
    if any(run.image_digest for _, run in runs):
        return
    known: dict[str, tuple[str, tuple[int, int]]] = {}
    for path, trace in traces:
        for name, is_as in _programs(trace).items():
            first, was_as = known.setdefault(name, (path, is_as))
            if was_as != is_as:
                raise TraceFileError(
                    f"cannot merge {first} and {path}: they are of different images: "
                    f"{name} is another file",
                    _HINT,
                )


def _named(image: str, digest: str | None) -> str:
    return f"{image} ({digest})" if digest else image


def _programs(trace: Trace) -> dict[str, tuple[int, int]]:
    """Size and time of each program and library, by path."""
    return {
        path.path: (path.fingerprint.size, path.fingerprint.mtime_ns)
        for path in trace.with_state(State.FILE)
        if path.fingerprint is not None
        and stat.S_ISREG(path.fingerprint.mode)
        and (Use.EXEC in path.uses or ".so" in os.path.basename(path.path))
    }
