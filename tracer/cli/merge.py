"""The command ``merge``: parse, call one function, print."""

from __future__ import annotations

from typing import Annotated

import typer

from slimtrace.tracer.cli.value_parsers import parse_count
from slimtrace.tracer.console import say
from slimtrace.tracer.text import format_count

_MERGE_HELP = """
Examples:

  slimtrace merge service.trace jobs.trace -o app.trace

  slimtrace merge app.trace from-ci.trace -o app.trace --force

  slimtrace merge app.trace --drop-run 2 -o app.trace --force

Exit status: 0; 125 if a trace cannot be read or written, or their images differ.
"""


def merge(
    traces: Annotated[
        list[str], typer.Argument(metavar="TRACE...", help="Traces of the same image.")
    ],
    output: Annotated[
        str,
        typer.Option(
            "-o", "--output", metavar="TRACE", help="Write the merged trace to this file."
        ),
    ],
    force: Annotated[bool, typer.Option("--force", help="Overwrite TRACE if it exists.")] = False,
    different_images: Annotated[
        bool,
        typer.Option(
            "--different-images",
            help="Allow traces of different images. build then needs --image.",
        ),
    ] = False,
    drop_run: Annotated[
        list[int] | None,
        typer.Option(
            metavar="N",
            parser=parse_count,
            help="Leave out run N, by its number in show; of several traces, the runs are numbered "
            "through. Can be repeated.",
        ),
    ] = None,
) -> None:
    """Merge traces of one image, from any machines."""
    from slimtrace.tracer.trace.merge import merge_traces  # noqa: PLC0415 -- not needed for --help

    runs = merge_traces(
        traces,
        output,
        force=force,
        different_images=different_images,
        drop_runs=tuple(drop_run or ()),
    )
    say(f"wrote {output}: {format_count(runs, 'run')}")


merge.__doc__ = f"{merge.__doc__}\n{_MERGE_HELP}"
