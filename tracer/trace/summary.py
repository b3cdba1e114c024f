"""The text of ``show``: what ran, what it touched and where, what may be missing."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from rich.text import Text

from slimtrace.tracer.stdout import make_table, render, stdout_width
from slimtrace.tracer.text import escape
from slimtrace.tracer.trace.trace import (
    DriveResult,
    ProcessImage,
    Run,
    State,
    Trace,
    TracedPath,
    Use,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_MAX_FOLDERS = 12
_FOLDER_DEPTH = 3


def summarize(trace: Trace) -> Iterator[str]:
    """Yield the lines to print."""
    for number, run in enumerate(trace.runs, start=1):
        yield from _format_run(number, run)
    files = trace.with_state(State.FILE)
    yield ""
    yield from _format_counts(_count_uses(trace, files))
    if trace.listening:
        ports = ", ".join(f"{port.port}/{port.protocol}" for port in trace.listening)
        yield f"listening on {ports}"
    yield from _format_folders(files)
    yield from _format_processes(trace.processes)


def _count_uses(trace: Trace, files: Sequence[TracedPath]) -> Iterator[tuple[int, str]]:
    yield len(files), "files and directories touched"
    for use in (Use.EXEC, Use.READ, Use.LIST, Use.STAT, Use.WRITE):
        yield sum(use in path.uses for path in files), f"  {use}"
    yield len(trace.with_state(State.MISSING)), "looked for and missing"
    yield len(trace.with_state(State.CREATED)), "created by the app"
    if trace.healed:
        yield len(trace.healed), "added after a verification"
    if trace.saved:
        yield len(trace.saved), "put aside before they were changed"


def _format_counts(counts: Iterable[tuple[int, str]]) -> list[str]:
    rows = ((Text(f"{count:7,}"), Text(label)) for count, label in counts)
    return render(make_table(rows, right=(0,), gap=1))


def _format_run(number: int, run: Run) -> Iterator[str]:
    yield f"run {number}: {escape(' '.join(run.command))}"
    if run.seconds is None:
        how = "never ended: the tracer was killed"
    elif run.exit_status is None:
        how = f"let go after {run.seconds:.1f} s"
    elif run.signal is not None:
        how = f"ended by signal {run.signal} after {run.seconds:.1f} s"
    else:
        how = f"exit status {run.exit_status} after {run.seconds:.1f} s"
    yield f"  in {escape(run.cwd)} as {run.user}, {run.started}: {how}"
    yield from _format_drive_result(run.drive_result)
    if run.failure is not None:
        yield "  failed: build needs --allow-failed for this run"
    for gap in run.gaps:
        yield f"  gap: {gap.kind}: {escape(gap.detail)}"
    if not run.complete:
        yield "  incomplete: files may be missing"


def _format_drive_result(driven: DriveResult | None) -> Iterator[str]:
    if driven is None:
        return
    if driven.ready is not None:
        yield f"  ready after {driven.ready:.1f} s"
    for answer in driven.answers:
        status = "no answer" if answer.status is None else answer.status
        yield f"  {escape(answer.driver)}: {status}"
    if driven.failure is not None:
        yield f"  {escape(driven.failure)}"


def _format_folders(files: Iterable[TracedPath]) -> Iterator[str]:
    places = Counter(
        os.sep.join(path.path.split(os.sep)[: _FOLDER_DEPTH + 1])
        for path in files
        if path.uses & {Use.READ, Use.EXEC}
    )
    if places:
        yield ""
        yield "most read below:"
        top = places.most_common(_MAX_FOLDERS)
        yield from _format_counts((count, escape(folder)) for folder, count in top)


def _format_processes(processes: Iterable[ProcessImage]) -> Iterator[str]:
    yield ""
    yield "programs:"
    width = stdout_width()
    depth: dict[int | None, int] = {None: 0}
    for image in processes:
        level = depth[image.id] = depth.get(image.parent, 0) + 1
        status = "" if image.exit_status in (0, None) else f"  (exit {image.exit_status})"
        command = Text(escape(" ".join(image.argv) or image.exe))
        command.truncate(max(20, width - 2 * level), overflow="ellipsis")
        yield "  " * level + command.plain + status
