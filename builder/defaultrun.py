"""Which of a trace's runs the image starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from slimtrace.tracer.model import Run, Trace


def default_run(trace: Trace, number: int) -> Run:
    """The run that gives the image its command, directory, user, variables and stop signal.

    :param number: what ``--default-run`` says: from 1, as ``show`` counts.
    :raises UsageError: the trace has no such run.
    :raises SlimtraceError: it has none at all.
    """
    if not trace.runs:
        raise no_run()
    if not 1 <= number <= len(trace.runs):
        count = f"{len(trace.runs)} run{'s' if len(trace.runs) != 1 else ''}"
        raise UsageError(
            f"cannot use --default-run {number}: the trace has {count}",
            "slimtrace show TRACE numbers them",
        )
    return trace.runs[number - 1]


def no_run() -> SlimtraceError:
    """What to raise where a trace has no run."""
    return SlimtraceError("cannot build from the trace: it has no run", "trace the app again")
