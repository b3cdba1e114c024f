"""The command ``merge``: parse, call one function, print."""

from __future__ import annotations

from typing import Annotated

import typer

from slimtrace.tracer.console import say

_MERGE_HELP = """
Examples:

  slimtrace merge service.trace jobs.trace -o app.trace

  slimtrace merge app.trace from-ci.trace -o app.trace --force

Exit status: 0; 125 when a trace cannot be read or written, or their images differ.
"""


def merge(
    traces: Annotated[list[str], typer.Argument(metavar="TRACE...", help="Traces of one image.")],
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="TRACE", help="The trace to write.")
    ],
    force: Annotated[bool, typer.Option("--force", help="Replace TRACE if it exists.")] = False,
    different_images: Annotated[
        bool,
        typer.Option(
            "--different-images",
            help="Merge traces of different images too: build then needs --image.",
        ),
    ] = False,
) -> None:
    """Unite traces of one image, from this machine or others, in one, with the files put aside."""
    from slimtrace.tracer.trace.merge import merge as unite  # noqa: PLC0415 -- not needed for --help

    unite(traces, output, force=force, different_images=different_images)
    say(f"wrote {output}: {len(traces)} traces")


merge.__doc__ = f"{merge.__doc__}\n{_MERGE_HELP}"
