"""The command ``check``: parse, call one function, print."""

from __future__ import annotations

import math
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from slimtrace.tracer.console import say
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.check.inspection import CheckReport
    from slimtrace.builder.services import Services

_CHECK_HELP = """
Examples:

  slimtrace check app.tar

  slimtrace check app.tar --platform kubernetes --platform cloud-run -e DATABASE_URL=sqlite://

  slimtrace check oci:app --platform knative --ready http://localhost/health --sarif check.sarif

  slimtrace check rootfs:tree --no-run

Rules that are marked as measured have the image started in slimtrace's sandbox, on this machine's
network: with PORT where the platform sets it, as its user, stopped by its stop signal; then with a
read-only root, without capabilities, as another user. --no-run skips them.

Exit status: 0 all passed, or warned alone; 1 a rule failed; 2 usage; 125 failure; 128+N where
signal N ended it.
"""


def check(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE", help="As run --image takes it.")],
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- WORDS]", help="What to start in the place of the image's Cmd."),
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option(
            "--platform",
            metavar="PLATFORM",
            help="kubernetes, knative, cloud-run, app-engine, istio, docker or edge; may be "
            "repeated. (docker: what holds everywhere)",
        ),
    ] = None,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Do not start the image: skip what is measured.")
    ] = False,
    env: Annotated[
        list[str] | None,
        typer.Option("-e", "--env", metavar="NAME[=VALUE]", help="Set a variable for the app."),
    ] = None,
    volume: Annotated[
        list[str] | None,
        typer.Option("-v", "--volume", metavar="HOST:PATH[:ro]", help="Show HOST at PATH."),
    ] = None,
    ready: Annotated[
        str | None,
        typer.Option(
            metavar="URL|tcp:PORT|unix:PATH|log:REGEX|file:PATH|SECONDS",
            help="The app is ready when this shows (when it listens on a TCP port); of a URL the "
            "path counts, its port may be another.",
        ),
    ] = None,
    ready_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait until it is ready.")
    ] = 60.0,
    startup: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", min=0, help="How soon it must be ready. (the platform's)"),
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, help="How soon its stop signal must end it. (the platform's)"
        ),
    ] = None,
    probe: Annotated[
        list[str] | None,
        typer.Option(metavar="COMMAND", help="An exec probe, which must run; may be repeated."),
    ] = None,
    max_size: Annotated[
        float | None,
        typer.Option(metavar="MB", min=0, help="What edge takes, compressed. (50)"),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print what was found as JSON on stdout.")
    ] = False,
    sarif: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Write what is broken as SARIF 2.1.0; - is stdout."),
    ] = None,
) -> None:
    """Check that an image is what platforms expect, by what it holds and how it starts."""
    from slimtrace.builder.check.check import check as check_image  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.check.inspection import CheckRequest  # noqa: PLC0415
    from slimtrace.builder.check.target_platform import parse_platforms  # noqa: PLC0415
    from slimtrace.builder.check.trial_start import StartOptions  # noqa: PLC0415

    platforms = parse_platforms(platform or [])
    _check_output(sarif, json=json)
    numbers = {"--startup": startup, "--grace": grace, "--max-size": max_size}
    _check_finite({"--ready-timeout": ready_timeout, **numbers})
    asked = CheckRequest(
        tuple(words or ()),
        tuple(map(_words, probe or ())),
        grace,
        startup,
        None if max_size is None else round(max_size * 1e6),
    )
    how = StartOptions(tuple(env or ()), tuple(volume or ()), ready, ready_timeout)
    services: Services = context.obj
    checked = check_image(image, platforms, asked, how, services.start, run=not no_run)
    _tell(checked, sarif, json=json)
    raise typer.Exit(0 if checked.passed else 1)


def _check_output(sarif: str | None, *, json: bool) -> None:
    """:raises UsageError: two documents are to go to stdout."""
    from slimtrace.builder.images.write.atomic import check_file  # noqa: PLC0415 -- --help pays nothing

    if sarif == "-" and json:
        raise UsageError("cannot write two documents to stdout", "name a FILE for --sarif")
    if sarif not in {None, "-"}:
        check_file(str(sarif))


def _check_finite(numbers: Mapping[str, float | None]) -> None:
    """:raises UsageError: one is infinite or not a number, which ``float`` reads too."""
    for option, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise UsageError(f"cannot use {option} {number:g}: it is no finite number")


def _words(command: str) -> tuple[str, ...]:
    """:raises UsageError: a quote is not closed, or there is nothing."""
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"cannot use --probe {command}: {error}") from error
    if not words:
        raise UsageError("cannot use --probe with nothing to run")
    return words


def _tell(checked: CheckReport, sarif: str | None, *, json: bool) -> None:
    from slimtrace.builder.check import inspection  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.check.report import sarif as sarif_format  # noqa: PLC0415
    from slimtrace.builder.check.report.terminal import render_report  # noqa: PLC0415

    if sarif is not None:
        _write(sarif, sarif_format.document(checked))
    if json:
        _write("-", inspection.document(checked))
    elif sarif != "-":
        for line in render_report(checked):
            print(line)


def _write(path: str, document: dict[str, Any]) -> None:
    from slimtrace.builder.images.write.atomic import replacing  # noqa: PLC0415 -- --help pays nothing

    data = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if path == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with replacing(path) as file:
        file.write(data)
    say(f"wrote {path}")


check.__doc__ = f"{check.__doc__}\n{_CHECK_HELP}"
