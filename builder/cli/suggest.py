"""The command ``suggest``: parse, call one function, print."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from slimtrace.builder.model import Keep
from slimtrace.tracer.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.suggest.rank import Suggestion

_SUGGEST_HELP = """
Examples:

  slimtrace suggest slimtrace.trace

  slimtrace suggest slimtrace.trace --keep touched --limit 100

  slimtrace suggest slimtrace.trace --json

The lines are words for build, ready to paste. What is suggested is pointed at by something, and
not known to be needed: drive the app there, or include what you know.
"""


def suggest(
    traces: Annotated[list[str], typer.Argument(metavar="TRACE...", help="Traces of one image.")],
    keep: Annotated[
        Keep, typer.Option(help="What would be kept anyway: as in build.")
    ] = Keep.CLOSURE,
    limit: Annotated[int, typer.Option(min=1, help="How many lines at most.")] = 30,
    allow_changed: Annotated[
        bool, typer.Option("--allow-changed", help="Go on if files changed since the run.")
    ] = False,
    image: Annotated[
        str | None,
        typer.Option("--image", metavar="FULL", help="Where the full image lies now."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print them as JSON on stdout.")] = False,
) -> None:
    """Print what is likely to be needed but was neither touched nor implied, likeliest first."""
    from slimtrace.builder.build_options import BuildOptions  # noqa: PLC0415
    from slimtrace.builder.full_image import full_image  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.pipeline import select  # noqa: PLC0415
    from slimtrace.builder.suggest.rank import suggest as suggestions  # noqa: PLC0415
    from slimtrace.tracer.trace.reader import read_trace  # noqa: PLC0415

    trace = read_trace(traces)
    root = full_image(trace, image).root
    options = BuildOptions(keep=keep, allow_changed=allow_changed)
    found = suggestions(trace, root, select(trace, root, options))
    if json:
        print(orjson.dumps([_document(each) for each in found[:limit]], option=_INDENT).decode())
        return
    for line in _lines(found[:limit]):
        print(line)
    if not found:
        say("nothing points at a file that is not kept")
    elif len(found) > limit:
        say(f"{len(found) - limit} more; --limit {len(found)} shows all")


_INDENT = orjson.OPT_INDENT_2


def _document(each: Suggestion) -> dict[str, object]:
    from slimtrace.builder.terminal_text import printable  # noqa: PLC0415 -- --help pays nothing

    path, why = printable(each.path), printable(each.why)
    return {"path": path, "why": why, "files": each.files, "bytes": each.size}


def _lines(found: tuple[Suggestion, ...]) -> Iterator[str]:
    """A table: the words, then what they bring and why, as a comment of the shell."""
    from rich.filesize import decimal  # noqa: PLC0415 -- --help pays nothing

    words = [f"--include {shlex.quote(_clean(each.path))}" for each in found]
    width = min(max(map(len, words), default=0), 60)
    for word, each in zip(words, found, strict=True):
        files = f"{each.files} files, " if each.files != 1 else ""
        yield f"{word:{width}}  # {files}{decimal(each.size)}: {_clean(each.why)}"


def _clean(text: str) -> str:
    """Without what a terminal would obey."""
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


suggest.__doc__ = f"{suggest.__doc__}\n{_SUGGEST_HELP}"
