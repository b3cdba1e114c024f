"""The command ``check``: parse, call one function, print."""

from __future__ import annotations

import math
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from slimtrace.builder.cli import shared_options as shared
from slimtrace.tracer.cli import options as traced
from slimtrace.tracer.cli.value_parsers import parse_number
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.registry_access import choose_registry_access
from slimtrace.tracer.rerun_options import RerunOptions

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

The rules look at the files, the configuration and how the image starts. Rules that are marked as
measured start the image in slimtrace's sandbox, on this machine's network: first as its user, with
PORT if the platform sets it, and stopped by its stop signal; then with a read-only root, without
capabilities, and as another user. --no-run skips them.

Exit status: 0 all rules passed or only warned; 1 a rule failed; 2 usage; 125 failure; 128+N if
signal N ended it.
"""


def check(
    context: typer.Context,
    image: Annotated[
        str, typer.Argument(metavar="IMAGE", help="An image, as run --image accepts it.")
    ],
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGS]", help="Override the image's Cmd."),
    ] = None,
    platform: Annotated[
        list[str] | None,
        typer.Option(
            "--platform",
            metavar="PLATFORM",
            help="Platform to check for: kubernetes, knative, cloud-run, app-engine, istio, docker "
            "or edge. Can be repeated. (default: docker, whose rules apply everywhere)",
        ),
    ] = None,
    tls_verify: traced.TlsVerify = None,
    authfile: traced.Authfile = None,
    no_run: Annotated[
        bool, typer.Option("--no-run", help="Do not start the image; skip the rules that measure.")
    ] = False,
    env: traced.Env = None,
    volume: traced.Volume = None,
    ready: Annotated[
        str | None,
        typer.Option(
            metavar=traced.READY_METAVAR,
            help="Wait until the app is ready, as run --ready does. Of a URL, only the path is "
            "used, on the port that the app listens on. (default: until it listens on a TCP port)",
        ),
    ] = None,
    ready_timeout: traced.ReadyTimeout = traced.DEFAULT_READY_TIMEOUT_SECONDS,
    startup: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            parser=parse_number,
            help="Time in which the app must be ready. (default: the platform's)",
        ),
    ] = None,
    grace: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            parser=parse_number,
            help="Time in which the stop signal must end the app. (default: the platform's)",
        ),
    ] = None,
    probe: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COMMAND", help="An exec probe; its program must run. Can be repeated."
        ),
    ] = None,
    max_size: Annotated[
        float | None,
        typer.Option(
            metavar="MB",
            parser=parse_number,
            help="Maximum compressed size for edge. (default: 50)",
        ),
    ] = None,
    json: shared.Json = False,
    sarif: Annotated[
        str | None,
        typer.Option(
            metavar="FILE", help="Write the findings to FILE as SARIF 2.1.0; - is stdout."
        ),
    ] = None,
) -> None:
    """Check an image against the rules of platforms."""
    from slimtrace.builder.check.check import check as check_image  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.check.inspection import CheckRequest  # noqa: PLC0415
    from slimtrace.builder.check.target_platform import parse_platforms  # noqa: PLC0415
    from slimtrace.builder.check.trial_start import StartOptions  # noqa: PLC0415
    from slimtrace.tracer.sandbox.rootless import become_root  # noqa: PLC0415

    choose_registry_access(tls_verify, authfile)
    platforms = parse_platforms(platform or [])
    _check_output(sarif, json=json)
    numbers = {"--startup": startup, "--grace": grace, "--max-size": max_size}
    _check_numbers({"--ready-timeout": ready_timeout, **numbers})
    request = CheckRequest(
        tuple(args or ()),
        tuple(map(_parse_probe, probe or ())),
        grace,
        startup,
        None if max_size is None else round(max_size * 1e6),
    )
    start_options = StartOptions(tuple(env or ()), tuple(volume or ()), ready, ready_timeout)
    services: Services = context.obj
    services.check_rerun(RerunOptions(start_options.env, start_options.volumes), ready)
    become_root()
    checked = check_image(image, platforms, request, start_options, services.start, run=not no_run)
    _print_report(checked, sarif, json=json)
    raise typer.Exit(0 if checked.passed else 1)


def _check_output(sarif: str | None, *, json: bool) -> None:
    """:raises UsageError: two documents would go to stdout."""
    from slimtrace.builder.images.write.atomic import check_file  # noqa: PLC0415 -- --help pays nothing

    if sarif == "-" and json:
        raise UsageError("cannot write two documents to stdout", "name a FILE for --sarif")
    if sarif not in {None, "-"}:
        check_file(str(sarif))


def _check_numbers(numbers: Mapping[str, float | None]) -> None:
    """Typer's ``min`` lets NaN pass or not, and words it, as its version does.

    :raises UsageError: one is negative, infinite or not a number; ``float`` accepts all three.
    """
    for option, number in numbers.items():
        if number is not None and not math.isfinite(number):
            raise UsageError(f"cannot use {option} {number:g}: it is not a finite number")
        if number is not None and number < 0:
            raise UsageError(f"cannot use {option} {number:g}: it is negative")


def _parse_probe(command: str) -> tuple[str, ...]:
    """:raises UsageError: a quote is not closed, or the command is empty."""
    try:
        argv = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"cannot use --probe {command}: {error}") from error
    if not argv:
        raise UsageError("cannot use --probe with nothing to run")
    return argv


def _print_report(checked: CheckReport, sarif: str | None, *, json: bool) -> None:
    from slimtrace.builder.check import inspection  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.check.report import sarif as sarif_format  # noqa: PLC0415
    from slimtrace.builder.check.report.terminal import render_report  # noqa: PLC0415

    if sarif is not None:
        _write(sarif, sarif_format.to_sarif(checked))
    if json:
        _write("-", inspection.to_document(checked))
    elif sarif != "-":
        for line in render_report(checked):
            print(line)


def _write(path: str, document: dict[str, Any]) -> None:
    from slimtrace.builder.images.write.atomic import open_replacement  # noqa: PLC0415 -- --help pays nothing

    data = orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    if path == "-":
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    with open_replacement(path) as file:
        file.write(data)
    say(f"wrote {path}")


check.__doc__ = f"{check.__doc__}\n{_CHECK_HELP}"
