"""The command ``attach``: parse, call one function, print."""

from __future__ import annotations

from typing import Annotated

import typer

from slimtrace.tracer.cli.options import DEFAULT_TRACE, Append, Force, TraceFile, check_output, tell

_ATTACH_HELP = """
Examples:

  slimtrace attach 4242

  slimtrace attach "$(pgrep -o nginx)" -o nginx.trace --stop-after 60

What it did before is known by its open and mapped files alone, so the trace is never complete.

Exit status: 0; 125 when it cannot be traced.
"""


def attach(
    pid: Annotated[int, typer.Argument(metavar="PID", min=1, help="A process that runs already.")],
    output: TraceFile = DEFAULT_TRACE,
    append: Append = False,
    force: Force = False,
    stop_after: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="Let it go after SECONDS, at the latest."),
    ] = None,
) -> None:
    """Trace the process PID, its threads and its descendants until Ctrl-C, then let them go."""
    from slimtrace.tracer.attach import attach as trace_process  # noqa: PLC0415 -- not needed for --help
    from slimtrace.tracer.trace.output import TraceOutput  # noqa: PLC0415

    check_output(append=append, force=force)
    tell(trace_process(pid, TraceOutput(output, append, force), stop_after), output)


attach.__doc__ = f"{attach.__doc__}\n{_ATTACH_HELP}"
