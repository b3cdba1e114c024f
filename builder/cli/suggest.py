"""The command ``suggest``: parse, call one function, print."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from slimtrace.builder.cli import shared_options as shared
from slimtrace.builder.model import Keep
from slimtrace.tracer.cli import options as traced
from slimtrace.tracer.cli.value_parsers import parse_count
from slimtrace.tracer.console import say
from slimtrace.tracer.registry_access import choose_registry_access
from slimtrace.tracer.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.suggest.rank import Suggestion

_SUGGEST_HELP = """
Examples:

  slimtrace suggest slimtrace.trace

  slimtrace suggest slimtrace.trace --keep touched --limit 100

  slimtrace suggest slimtrace.trace --json

The most likely come first. Each line is an option of build, ready to paste. Something refers to
each of these files, but no run needed them: use that feature of the app in a traced run, or include
the files that you know of.
"""


def suggest(
    traces: shared.Traces,
    keep: shared.KeepLevel = Keep.CLOSURE,
    limit: Annotated[
        int,
        typer.Option(metavar="N", parser=parse_count, help="Maximum number of suggestions."),
    ] = 30,
    allow_changed: shared.AllowChanged = False,
    image: shared.FullImageReference = None,
    tls_verify: traced.TlsVerify = None,
    authfile: traced.Authfile = None,
    json: shared.Json = False,
) -> None:
    """List files that the app may need but no run used."""
    from slimtrace.builder.build_options import BuildOptions  # noqa: PLC0415
    from slimtrace.builder.full_image import become_root_for, open_full_image  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.pipeline import select  # noqa: PLC0415
    from slimtrace.builder.suggest.rank import suggest as rank_suggestions  # noqa: PLC0415
    from slimtrace.tracer.trace.reader import read_trace  # noqa: PLC0415

    choose_registry_access(tls_verify, authfile)
    trace = read_trace(traces)
    become_root_for(trace, image)
    root = open_full_image(trace, image).root
    options = BuildOptions(keep=keep, allow_changed=allow_changed)
    suggestions = rank_suggestions(trace, root, select(trace, root, options))
    if json:
        print(
            orjson.dumps(
                [_make_document(each) for each in suggestions[:limit]], option=_INDENT
            ).decode()
        )
        return
    for line in _format_lines(suggestions[:limit]):
        print(line)
    if not suggestions:
        say("nothing refers to a file that is not kept")
    elif len(suggestions) > limit:
        say(f"{len(suggestions) - limit} more; --limit {len(suggestions)} shows all")


_INDENT = orjson.OPT_INDENT_2


def _make_document(each: Suggestion) -> dict[str, object]:
    from slimtrace.tracer.text import replace_surrogates  # noqa: PLC0415 -- --help pays nothing

    path, why = replace_surrogates(each.path), replace_surrogates(each.why)
    return {"path": path, "why": why, "files": each.files, "bytes": each.size}


def _format_lines(suggestions: tuple[Suggestion, ...]) -> Iterator[str]:
    """Format a table: each option, then as a shell comment what it adds and why."""
    from rich.filesize import decimal  # noqa: PLC0415 -- --help pays nothing

    options = [f"--include {shlex.quote(escape(each.path))}" for each in suggestions]
    width = min(max(map(len, options), default=0), 60)
    for option, each in zip(options, suggestions, strict=True):
        files = f"{each.files} files, " if each.files != 1 else ""
        yield f"{option:{width}}  # {files}{decimal(each.size)}: {escape(each.why)}"


suggest.__doc__ = f"{suggest.__doc__}\n{_SUGGEST_HELP}"
