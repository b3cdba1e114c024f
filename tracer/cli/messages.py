"""What the tracer's commands check and print in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.caution import Caution
from slimtrace.tracer.console import detail, fail, say, warn
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.text import escape, format_count
from slimtrace.tracer.trace.gaps import loses_files
from slimtrace.tracer.trace.old_trace import IfExists

if TYPE_CHECKING:
    from slimtrace.tracer.result import RunResult


_MAX_TARGETS = 5
"""Paths that a line names."""


def choose_if_exists(*, append: bool, force: bool, no_clobber: bool) -> IfExists:
    """What becomes of a trace that exists.

    :raises UsageError: more than one of the options is given.
    """
    choices = {
        "--append": (append, IfExists.APPEND),
        "--force": (force, IfExists.OVERWRITE),
        "--no-clobber": (no_clobber, IfExists.REFUSE),
    }
    given = [name for name, (is_given, _) in choices.items() if is_given]
    if len(given) > 1:
        raise UsageError(f"cannot use {given[0]} with {given[1]}: choose one of them")
    return choices[given[0]][1] if given else IfExists.MOVE


def print_result(result: RunResult, output: str) -> None:
    """Print how a run ended.

    :param output: the path of its trace.
    """
    losing = [kind for kind in result.gaps if loses_files(kind)]
    if losing:
        fact = f"the trace may be incomplete: {', '.join(sorted(losing))}"
        warn(Caution(fact, f"slimtrace show {output} says more"))
    if result.failure is not None:
        fail(result.failure.message, result.failure.hint, result.failure.lines)
    calls = format_count(result.stops, "call")
    detail(f"{calls} stopped in {result.run.seconds} s by {result.run.engine}")
    completeness = "complete" if result.run.complete else "incomplete"
    files = format_count(result.files, "file")
    say(f"wrote {output}: {files}, {completeness}, in {result.run.seconds:.1f} s")
    if result.run.failure is not None:
        why = "" if result.failure is not None else f" ({result.run.failure})"
        say(f"the run is marked as failed{why}: build needs --allow-failed for it")


def print_unrequested(result: RunResult) -> None:
    """Say what answers named that nothing asked for."""
    driven = result.run.drive_result
    if driven is None or not driven.unrequested:
        return
    targets = driven.unrequested
    paths = [escape(target) for target in targets[:_MAX_TARGETS]]
    more = ", …" if len(targets) > _MAX_TARGETS else ""
    count = format_count(len(targets), "path")
    say(f"answers name {count} that nothing asked for: {', '.join(paths)}{more}; see --crawl")
