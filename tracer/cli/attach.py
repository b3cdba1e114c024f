"""The command ``attach``: parse, call one function, print."""

from __future__ import annotations

from typing import Annotated

import typer

from slimtrace.tracer.cli import options
from slimtrace.tracer.cli.messages import choose_if_exists, print_result
from slimtrace.tracer.cli.value_parsers import parse_seconds

_ATTACH_HELP = """
Examples:

  slimtrace attach 4242

  slimtrace attach nginx -o nginx.trace --stop-after 60

NAME is that of a program; of a server and its workers it means the server. The process's threads
and descendants are traced too. Of what it did earlier, only its open and mapped files are recorded.
The trace is always marked as incomplete.

Exit status: 0; 125 if the process cannot be traced.
"""


def attach(
    process: Annotated[
        str, typer.Argument(metavar="PID|NAME", help="ID or program name of a running process.")
    ],
    output: options.TraceOutputFile = options.DEFAULT_TRACE,
    append: options.Append = False,
    force: options.Force = False,
    no_clobber: options.NoClobber = False,
    stop_after: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            parser=parse_seconds,
            help="Detach after SECONDS at the latest.",
        ),
    ] = None,
) -> None:
    """Trace a running process until Ctrl-C, then detach."""
    from slimtrace.tracer.attach import attach as trace_process  # noqa: PLC0415 -- not needed for --help
    from slimtrace.tracer.process.process_search import find_process  # noqa: PLC0415
    from slimtrace.tracer.trace.output import TraceOutput  # noqa: PLC0415

    if_exists = choose_if_exists(append=append, force=force, no_clobber=no_clobber)
    result = trace_process(find_process(process), TraceOutput(output, if_exists), stop_after)
    print_result(result, output)


attach.__doc__ = f"{attach.__doc__}\n{_ATTACH_HELP}"
