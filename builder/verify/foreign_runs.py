"""Refuses to repeat runs of traces that this user did not make on this machine.

To repeat a run is to run its commands, some of them on this machine's root, with folders of this
machine mounted.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.trace.seal import is_made_here

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.tracer.trace.trace import Run

_MAX_LISTED_LINES = 200


def check_made_here(runs: Sequence[Run], *, trust: bool) -> None:
    """Check that all runs may be repeated: this user made them here, or trusts them.

    :raises SlimtraceError: a run is of another user or machine; what it would do is listed.
    """
    foreign = [(n, run) for n, run in enumerate(runs, start=1) if not is_made_here(run)]
    if trust or not foreign:
        return
    lines = [line for number, run in foreign for line in _describe(number, run)]
    if len(lines) > _MAX_LISTED_LINES:
        lines[_MAX_LISTED_LINES:] = [f"{len(lines) - _MAX_LISTED_LINES} more lines"]
    raise SlimtraceError(
        "cannot repeat the runs of this trace: nothing shows that this user made it on this "
        "machine. It would run and mount:",
        "if you trust each of these lines, add --trust",
        tuple(lines),
    )


def _describe(number: int, run: Run) -> Iterator[str]:
    """Describe what would be run and mounted, in the words of ``run``'s options."""
    yield f"run {number}: {shlex.join(run.command)}"
    where = f"in {run.image}" if run.image_digest is None else f"in {run.image} {run.image_digest}"
    yield f"  {where}, directory {run.cwd}, user {run.user}, network {run.network}"
    yield from (f"  --volume {shlex.quote(mount)}" for mount in run.mounts)
    yield from (f"  --cap-add {capability}" for capability in run.cap_add)
    driving = run.drive_options
    if driving is None:
        return
    if driving.ready is not None:
        yield f"  --ready {shlex.quote(driving.ready)}"
    yield from (f"  --http-get {shlex.quote(path)}" for path in driving.http_get)
    yield from (f"  --http {shlex.quote(request.shown)}" for request in driving.requests)
    yield from (f"  --http-header {shlex.quote(header)}" for header in driving.http_headers)
    yield from (f"  --openapi {shlex.quote(path)}" for path in driving.documents)
    place = f" (in {driving.directory})" if driving.directory is not None else ""
    yield from (f"  --exec {shlex.quote(command)}{place}" for command in driving.commands)
    yield from (f"  --exec-in {shlex.quote(shlex.join(argv))}" for argv in driving.inside)
