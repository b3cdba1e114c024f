"""What the tracer's commands check and print in the same way."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.caution import Caution
from slimtrace.tracer.console import detail, fail, quote, say, warn
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.trace.gaps import loses_files

if TYPE_CHECKING:
    from slimtrace.tracer.result import RunResult


def check_output_options(*, append: bool, force: bool) -> None:
    """:raises UsageError: both options are given."""
    if append and force:
        raise UsageError("cannot use --append with --force: choose one of them")


def print_result(result: RunResult, output: str) -> None:
    """Print how a run ended.

    :param output: the path of its trace.
    """
    losing = [kind for kind in result.gaps if loses_files(kind)]
    if losing:
        fact = f"the trace may be incomplete: {', '.join(sorted(losing))}"
        warn(Caution(fact, f"slimtrace show {output} says more"))
    if result.failure is not None:
        fail(result.failure.message)
        quote(result.failure.lines)
        if result.failure.hint is not None:
            fail(result.failure.hint)
    detail(f"{result.stops} calls stopped in {result.run.seconds} s by {result.run.engine}")
    completeness = "complete" if result.run.complete else "incomplete"
    say(f"wrote {output}: {result.files:,} files, {completeness}, in {result.run.seconds:.1f} s")
