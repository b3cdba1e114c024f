"""The command ``verify``: parse, call one function, print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from slimtrace.builder.cli import shared_options as shared
from slimtrace.builder.cli.compare import report_comparison
from slimtrace.builder.option_checks import check_globs
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.cli import options as traced
from slimtrace.tracer.console import fail, say, warn
from slimtrace.tracer.registry_access import choose_registry_access
from slimtrace.tracer.rerun_options import RerunOptions, VolumeMode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.services import Services
    from slimtrace.builder.verify.verdict import Verdict

_VERIFY_HELP = """
Examples:

  slimtrace verify app.tar --trace slimtrace.trace

  slimtrace verify oci:app:v1 --trace app.trace --heal

  slimtrace verify app.tar --trace app.trace --read-only --cap-drop all --user 65532:65532

  slimtrace verify app.tar --trace app.trace --against-full

Every run is repeated in the image, with the same readiness check, requests and commands as when it
was traced, on copies of its volumes. What cannot be repeated is listed: requests of pytest or
people, and input. Give again what a trace does not record: --env for variables that slimtrace does
not keep.

Exit status: 0 verified; 1 a file is missing or a run ended in another way; 125 failure; 128+N if
signal N ended it.
"""

_MAX_LISTED_PATHS = 20


def verify(
    context: typer.Context,
    image: Annotated[
        str,
        typer.Argument(
            metavar="IMAGE", help="A slim image, in any format, whoever made it or changed it."
        ),
    ],
    traces: Annotated[
        list[str],
        typer.Option(
            "--trace",
            metavar="TRACE",
            help="A trace of the full image that IMAGE was made from. Repeat it for each trace.",
        ),
    ],
    heal: Annotated[
        bool,
        typer.Option("--heal", help="Add missing files and build again, until nothing is missing."),
    ] = False,
    ignore: shared.Ignore = None,
    full_image: shared.FullImageReference = None,
    tls_verify: traced.TlsVerify = None,
    authfile: traced.Authfile = None,
    read_only: shared.ReadOnly = False,
    user: Annotated[
        str | None,
        typer.Option(
            metavar="USER[:GROUP]",
            help="User[:group] to run as, by name in the image or by number. "
            "(default: the image's user)",
        ),
    ] = None,
    cap_drop: shared.CapDrop = None,
    cap_add: traced.CapAdd = None,
    security_opt: traced.SecurityOpt = None,
    env: traced.Env = None,
    volume: Annotated[
        list[str] | None,
        typer.Option(
            "-v",
            "--volume",
            metavar="HOST:PATH[:ro]",
            help="Bind-mount HOST at PATH, instead of what the traced run had there. Can be "
            "repeated.",
        ),
    ] = None,
    volumes: traced.VolumeUse = VolumeMode.COPY,
    against_full: Annotated[
        bool,
        typer.Option(
            "--against-full",
            help="Repeat the runs in the full image too, and compare the answers in full, as "
            "compare FULL IMAGE --trace TRACE does.",
        ),
    ] = False,
    trust: shared.Trust = False,
    json: shared.Json = False,
) -> None:
    """Repeat the traced runs in the image and report what is missing."""
    from slimtrace.builder.compare.compare import compare_traced  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.images.read.image_search import add_transport  # noqa: PLC0415
    from slimtrace.builder.verify.verify import VerifyOptions  # noqa: PLC0415
    from slimtrace.builder.verify.verify import verify as verify_image  # noqa: PLC0415
    from slimtrace.tracer.sandbox.rootless import become_root  # noqa: PLC0415

    choose_registry_access(tls_verify, authfile)
    changes = RerunOptions.from_command_line(
        *(env, volume, volumes, cap_drop, cap_add),
        read_only=read_only,
        user=user,
        security_opt=security_opt,
    )
    services: Services = context.obj
    check_globs("--ignore", ignore or ())
    services.check_rerun(changes, None)
    become_root()
    options = VerifyOptions(heal, tuple(ignore or ()), add_transport(full_image), trust, changes)
    if against_full:
        report_comparison(compare_traced(image, traces, options, services.rerun), json=json)
    verdict = verify_image(image, traces, options, services.rerun)
    if json:
        print(orjson.dumps(verdict.document(), option=orjson.OPT_INDENT_2).decode())
    else:
        print_verdict(verdict)
    raise typer.Exit(0 if verdict.passed else 1)


def print_verdict(verdict: Verdict) -> None:
    """Print the verdict, for people."""
    for line in _format_lines(verdict):
        (say if verdict.passed else fail)(line)
    rounds = f" in {verdict.rounds} rounds" if verdict.rounds > 1 else ""
    if verdict.is_rebuilt:
        say(f"healed {verdict.image}: {len(verdict.healed)} added{rounds}")
    for line in verdict.not_repeated:
        say(f"not tried: {line}")
    if verdict.passed:
        what = "what was tried" if verdict.not_repeated else "all"
        say(f"verified {verdict.image}: nothing is missing, {what} went as traced")
    else:
        warn(Caution(f"not verified: {verdict.image}{rounds}", _find_next_step(verdict)))


def _find_next_step(verdict: Verdict) -> str:
    if verdict.hints:
        return "what may explain it is named above"
    if verdict.missing and not verdict.healed:
        return "--heal adds what is missing"
    if verdict.left_out:
        return "build without the options that leave these files out, or accept the difference"
    return "make the runs repeatable: --env and --volume give what the trace does not keep"


def _format_lines(verdict: Verdict) -> Iterator[str]:
    for outcome in verdict.outcomes:
        command = " ".join(outcome.before.command)
        yield from (f"{command}: {difference}" for difference in outcome.differences)
        before, now = outcome.before, outcome.now
        is_unexplained = bool(outcome.differences) and not verdict.missing
        if is_unexplained and now is not None and now.user != before.user:
            yield (
                f"{command}: it ran as {now.user}, but as {before.user} when traced: if it needs "
                f"that user, build with --user {before.user}"
            )
    yield from verdict.hints
    for item in verdict.missing[:_MAX_LISTED_PATHS]:
        yield f"missing: {item.path} ({'; '.join(item.processes[:2])})"
    if len(verdict.missing) > _MAX_LISTED_PATHS:
        yield f"missing: {len(verdict.missing) - _MAX_LISTED_PATHS} more; --json lists all"
    for item in verdict.left_out[:_MAX_LISTED_PATHS]:
        yield f"left out on purpose: {item.path} ({item.on_purpose})"


verify.__doc__ = f"{verify.__doc__}\n{_VERIFY_HELP}"
