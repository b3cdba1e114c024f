"""What several commands of the tracer share: options, and how a run's end is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slimtrace.tracer.console import detail, fail, quote, say, warn
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.trace.gaps import loses_files

if TYPE_CHECKING:
    from slimtrace.tracer.result import RunResult

DEFAULT_TRACE = "slimtrace.trace"

TraceFile = Annotated[
    str, typer.Option("-o", "--output", metavar="TRACE", help="The trace to write.")
]
Append = Annotated[bool, typer.Option("--append", help="Add this run to TRACE.")]
Force = Annotated[bool, typer.Option("--force", help="Replace TRACE if it exists.")]


def check_output(*, append: bool, force: bool) -> None:
    """:raises UsageError: both were said."""
    if append and force:
        raise UsageError("cannot both --append to a trace and --force it to be replaced")


def tell(result: RunResult, output: str) -> None:
    """Say how a run ended."""
    losing = [kind for kind in result.gaps if loses_files(kind)]
    if losing:
        warn(
            f"the trace may be incomplete: {', '.join(sorted(losing))} "
            f"(slimtrace show {output} says more)"
        )
    if result.failure is not None:
        fail(result.failure.message)
        quote(result.failure.lines)
        if result.failure.hint is not None:
            fail(result.failure.hint)
    detail(f"{result.stops} calls stopped in {result.run.seconds} s by {result.run.engine}")
    whole = "complete" if result.run.complete else "incomplete"
    say(f"wrote {output}: {result.files:,} files, {whole}, in {result.run.seconds:.1f} s")
