"""Refuses to build from runs that failed: they show less than what the app needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.text import escape
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.tracer.trace.trace import Run


def check_failed_runs(traces: Sequence[str], runs: Sequence[Run], options: BuildOptions) -> None:
    """Check that no run failed, unless ``options`` allow it.

    :param runs: all runs of the traces.
    :raises SlimtraceError: a run failed; each of them is named.
    """
    if options.allow_failed or all(run.failure is None for run in runs):
        return
    failed = [
        (path, number, f"{escape(' '.join(run.command))}: {escape(run.failure)}")
        for path in traces
        for number, run in enumerate(read_trace(path).runs, start=1)
        if run.failure is not None
    ]
    path, number, _ = failed[0]
    several = len(traces) > 1
    named = "; ".join(
        f"run {number}{f' of {path}' if several else ''} ({what})" for path, number, what in failed
    )
    raise SlimtraceError(
        f"cannot build from {path}: {named} failed",
        f"trace it again, take it out (slimtrace merge {path} --drop-run {number} -o {path} "
        "--force), or add --allow-failed",
    )
