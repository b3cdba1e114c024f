"""The command ``suggest``: parse, call one function, print."""

from __future__ import annotations

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
    from slimtrace.builder.suggest.unused_files import UnusedFiles

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
    keep: shared.KeepLevel = Keep.APP,
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
    from slimtrace.builder.suggest.unused_files import find_unused  # noqa: PLC0415
    from slimtrace.tracer.trace.reader import read_trace  # noqa: PLC0415

    choose_registry_access(tls_verify, authfile)
    trace = read_trace(traces)
    become_root_for(trace, image)
    root = open_full_image(trace, image).root
    options = BuildOptions(keep=keep, allow_changed=allow_changed)
    selection = select(trace, root, options)
    suggestions = rank_suggestions(trace, root, selection)
    if json:
        print(
            orjson.dumps([each.document() for each in suggestions[:limit]], option=_INDENT).decode()
        )
        return
    for line in _format_lines(suggestions[:limit]):
        print(line)
    if not suggestions:
        say("nothing refers to a file that is not kept")
    elif len(suggestions) > limit:
        say(f"{len(suggestions) - limit} more; --limit {len(suggestions)} shows all")
    for line in _format_unused(find_unused(selection)):
        say(line)


_MAX_UNUSED = 5
_INDENT = orjson.OPT_INDENT_2


def _format_lines(suggestions: tuple[Suggestion, ...]) -> Iterator[str]:
    """Format a table: each option, then as a shell comment what it adds and why."""
    width = min(max((len(each.option) for each in suggestions), default=0), 60)
    for each in suggestions:
        yield f"{each.option:{width}}  # {each.amount}: {escape(each.why)}"


def _format_unused(unused: tuple[UnusedFiles, ...]) -> Iterator[str]:
    """Say what a run could still use of the app, and where a build could save."""
    from rich.filesize import decimal  # noqa: PLC0415 -- --help pays nothing

    for each in unused[:_MAX_UNUSED]:
        files = f"{each.files:,} files, " if each.files != 1 else ""
        amount = f"{files}{decimal(each.size)}"
        yield f"kept by the rule own-folder, used by no run: {escape(each.path)} ({amount})"
    if len(unused) > _MAX_UNUSED:
        more = len(unused) - _MAX_UNUSED
        yield f"kept by the rule own-folder, used by no run: files in {more} more folders"


suggest.__doc__ = f"{suggest.__doc__}\n{_SUGGEST_HELP}"
