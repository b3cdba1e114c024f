"""The command ``attach``: parse, call one function, print."""

from __future__ import annotations

from typing import Annotated

import typer

from slimtrace.tracer.cli import options
from slimtrace.tracer.cli.messages import choose_if_exists, print_result

_ATTACH_HELP = """
Examples:

  slimtrace attach 4242

  slimtrace attach "$(pgrep -o nginx)" -o nginx.trace --stop-after 60

Its threads and descendants are traced too. Of what the process did earlier, only its open and
mapped files are recorded. The trace is always marked as incomplete.

Exit status: 0; 125 if the process cannot be traced.
"""


def attach(
    pid: Annotated[int, typer.Argument(metavar="PID", min=1, help="ID of a running process.")],
    output: options.TraceOutputFile = options.DEFAULT_TRACE,
    append: options.Append = False,
    force: options.Force = False,
    no_clobber: options.NoClobber = False,
    stop_after: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            parser=options.parse_seconds,
            help="Detach after SECONDS at the latest.",
        ),
    ] = None,
) -> None:
    """Trace a running process until Ctrl-C, then detach."""
    from slimtrace.tracer.attach import attach as trace_process  # noqa: PLC0415 -- not needed for --help
    from slimtrace.tracer.trace.output import TraceOutput  # noqa: PLC0415

    if_exists = choose_if_exists(append=append, force=force, no_clobber=no_clobber)
    result = trace_process(pid, TraceOutput(output, if_exists), stop_after)
    print_result(result, output)


attach.__doc__ = f"{attach.__doc__}\n{_ATTACH_HELP}"
