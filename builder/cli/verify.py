"""The command ``verify``: parse, call one function, print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from slimtrace.tracer.console import say, warn
from slimtrace.tracer.rerun_options import RerunOptions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.services import Services
    from slimtrace.builder.verify.verdict import Verdict

_VERIFY_HELP = """
Examples:

  slimtrace verify app.tar --trace slimtrace.trace

  slimtrace verify oci:app:v1 --trace app.trace --heal

  slimtrace verify app.tar --trace app.trace --read-only --cap-drop all --user 65532:65532

Every run is repeated in the image, with the same readiness, requests and commands as when it was
traced. What a trace does not keep must be said again: --env for variables that slimtrace does not
record, --volume where a run was shown a folder that must be new.

Exit status: 0 verified; 1 something is missing or went otherwise; 125 failure; 128+N where signal N
ended it.
"""

_MOST = 20


def verify(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="What build wrote, in any form.")],
    traces: Annotated[
        list[str],
        typer.Option(
            "--trace", metavar="TRACE", help="What it was built from; once for each trace."
        ),
    ],
    heal: Annotated[
        bool,
        typer.Option("--heal", help="Add what is missing, build again, until nothing changes."),
    ] = False,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="What may be missing.")
    ] = None,
    full_image: Annotated[
        str | None,
        typer.Option("--image", metavar="FULL", help="Where the full image lies now."),
    ] = None,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Run with a root that cannot be written.")
    ] = False,
    user: Annotated[
        str | None, typer.Option(metavar="USER[:GROUP]", help="Run as USER, not the image's user.")
    ] = None,
    cap_drop: Annotated[
        list[str] | None,
        typer.Option(metavar="CAPABILITY", help="Run without it; all for every one."),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option("-e", "--env", metavar="NAME[=VALUE]", help="Set a variable for the app."),
    ] = None,
    volume: Annotated[
        list[str] | None,
        typer.Option(
            "-v",
            "--volume",
            metavar="HOST:PATH[:ro]",
            help="Show HOST at PATH, instead of what was shown there when traced.",
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print the verdict as JSON on stdout.")
    ] = False,
) -> None:
    """Repeat in the image what was traced, and tell what it lacks."""
    from slimtrace.builder.verify.verify import VerifyOptions  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.verify.verify import verify as verify_image  # noqa: PLC0415

    changes = RerunOptions(
        tuple(env or ()), tuple(volume or ()), user, read_only, tuple(cap_drop or ())
    )
    options = VerifyOptions(heal, tuple(ignore or ()), full_image, changes)
    services: Services = context.obj
    verdict = verify_image(image, traces, options, services.rerun)
    if json:
        print(orjson.dumps(verdict.document(), option=orjson.OPT_INDENT_2).decode())
    else:
        tell(verdict)
    raise typer.Exit(0 if verdict.passed else 1)


def tell(verdict: Verdict) -> None:
    """The verdict for people."""
    for line in _lines(verdict):
        (say if verdict.passed else warn)(line)
    rounds = f" in {verdict.rounds} rounds" if verdict.rounds > 1 else ""
    if verdict.healed:
        say(f"healed {verdict.image}: {len(verdict.healed)} added{rounds}")
    if verdict.passed:
        say(f"verified {verdict.image}: nothing is missing, all went as traced")
    else:
        warn(f"not verified: {verdict.image}{rounds}")


def _lines(verdict: Verdict) -> Iterator[str]:
    for outcome in verdict.outcomes:
        words = " ".join(outcome.before.command)
        yield from (f"{words}: {difference}" for difference in outcome.differences)
        before, now = outcome.before, outcome.now
        is_unexplained = bool(outcome.differences) and not verdict.lacking
        if is_unexplained and now is not None and now.user != before.user:
            yield (
                f"{words}: it ran as {now.user}, and as {before.user} when traced: where it needs "
                f"that, build with --user {before.user}"
            )
    for item in verdict.lacking[:_MOST]:
        yield f"missing: {item.path} ({'; '.join(item.processes[:2])})"
    if len(verdict.lacking) > _MOST:
        yield f"missing: {len(verdict.lacking) - _MOST} more; --json names all"
    for item in verdict.left_out[:_MOST]:
        yield f"left out on purpose: {item.path} ({item.on_purpose})"


verify.__doc__ = f"{verify.__doc__}\n{_VERIFY_HELP}"
