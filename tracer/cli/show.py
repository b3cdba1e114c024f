"""The command ``show``: parse, call one function, print."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

_SHOW_HELP = """
Examples:

  slimtrace show slimtrace.trace

  slimtrace show slimtrace.trace --json | jq -r '.files[].path'
"""


def show(
    trace: Annotated[
        str, typer.Argument(metavar="TRACE", help="A trace written by run, attach or merge.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole trace as JSON.")] = False,
) -> None:
    """Show what a trace recorded."""
    from slimtrace.tracer.trace.reader import read_trace  # noqa: PLC0415

    content = read_trace(trace)
    if as_json:
        import orjson  # noqa: PLC0415

        from slimtrace.tracer.syscalls.classes import HOT  # noqa: PLC0415
        from slimtrace.tracer.trace.document import make_document  # noqa: PLC0415

        option = orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
        sys.stdout.buffer.write(orjson.dumps(make_document(content, HOT), option=option))
        return
    from slimtrace.tracer.trace.summary import summarize  # noqa: PLC0415

    for line in summarize(content):
        print(line)


show.__doc__ = f"{show.__doc__}\n{_SHOW_HELP}"
