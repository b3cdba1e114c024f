"""The command ``compare``: parse, call one function, print."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated, NoReturn

import orjson
import typer

from slimtrace.builder.cli import shared_options as shared
from slimtrace.builder.option_checks import check_globs
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.cli import options as traced
from slimtrace.tracer.cli.drive_command import ORDER
from slimtrace.tracer.cli.value_parsers import parse_signal
from slimtrace.tracer.console import fail, quote, say, warn
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.registry_access import choose_registry_access
from slimtrace.tracer.rerun_options import RerunOptions, VolumeMode
from slimtrace.tracer.text import escape, format_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.builder.compare.comparison import ComparedAnswer, Comparison
    from slimtrace.builder.services import Services
    from slimtrace.builder.verify.missing_files import MissingFile

_COMPARE_HELP = """
Examples:

  slimtrace compare oci:full oci:slim --ready :8080 --http-get / --http-get /never-asked

  slimtrace compare podman/app app.tar --exec 'curl -s $SLIMTRACE_URL/report?format=pdf'

  slimtrace compare oci:full app.tar --ready :80 --http-get / --crawl --http 'POST /users @new.json'

  slimtrace compare oci:full app.tar --trace app.trace --http-get /late --heal

  slimtrace compare oci:full oci:slim -- report --format xml

Both images start in slimtrace's sandbox under the same options, one after the other, because the
app listens on the same port in both. An answer differs by its status, type or body. What changes
from start to start is masked: times, durations, tokens, ids, and what differs between two starts of
the full image. Without requests and commands, the answer is what the app prints and its exit
status.

Exit status: 0 all answers are the same; 1 one differs; 2 usage; 125 failure; 128+N if signal N
ended it.
"""

_PORTS = ("http:", "https:", "tcp:", ":")
"""How a ``--ready`` begins that asks a port."""
_MAX_LISTED_FILES = 5
_MAX_LISTED_ANSWERS = 50
_MAX_INCLUDES = 8


def compare(
    context: typer.Context,
    full: Annotated[
        str, typer.Argument(metavar="FULL", help="The full image, as run --image accepts it.")
    ],
    slim: Annotated[
        str,
        typer.Argument(
            metavar="SLIM", help="A slim image, in any format, whoever made it or changed it."
        ),
    ],
    args: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- ARGS]", help="Override the Cmd of both images."),
    ] = None,
    traces: Annotated[
        list[str] | None,
        typer.Option(
            "--trace",
            metavar="TRACE",
            help="Repeat the runs of this trace of FULL, too: the requests and commands are added "
            "to the run that SLIM starts, or asked in a run of their own where ARGS or options say "
            "how the images start. Can be repeated.",
        ),
    ] = None,
    heal: Annotated[
        bool,
        typer.Option(
            "--heal",
            help="Add what SLIM lacked to TRACE and build again, until nothing differs.",
        ),
    ] = False,
    ready: traced.Ready = None,
    ready_status: traced.ReadyStatus = None,
    ready_count: traced.ReadyCount = None,
    ready_timeout: traced.ReadyTimeout = traced.DEFAULT_READY_TIMEOUT_SECONDS,
    http_get: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH", help="Send GET PATH to both, whatever the status. Can be repeated."
        ),
    ] = None,
    http: traced.Http = None,
    http_file: traced.HttpFile = None,
    openapi: traced.OpenApi = None,
    replay: traced.Replay = None,
    replay_unsafe: traced.ReplayUnsafe = False,
    crawl: traced.Crawl = None,
    http_header: traced.HttpHeader = None,
    exec_: Annotated[
        list[str] | None,
        typer.Option(
            "--exec",
            metavar="CMD",
            help="Run CMD in a shell outside of both; its output and exit status are the answer. "
            "It finds the app at SLIMTRACE_URL, SLIMTRACE_HOST and SLIMTRACE_PORT. Can be "
            "repeated.",
        ),
    ] = None,
    exec_in: Annotated[
        list[str] | None,
        typer.Option(
            "--exec-in",
            metavar="CMD",
            help="Run CMD in both, without a shell; its output and exit status are the answer. "
            "Can be repeated.",
        ),
    ] = None,
    exec_timeout: traced.ExecTimeout = traced.DEFAULT_EXEC_TIMEOUT_SECONDS,
    stop_after: traced.StopAfter = None,
    stop_signal: traced.StopSignal = None,
    stop_grace: traced.StopGrace = traced.DEFAULT_STOP_GRACE_SECONDS,
    ignore: shared.Ignore = None,
    tls_verify: traced.TlsVerify = None,
    authfile: traced.Authfile = None,
    volume: traced.Volume = None,
    volumes: traced.VolumeUse = VolumeMode.COPY,
    env: traced.Env = None,
    workdir: traced.Workdir = None,
    user: traced.User = None,
    entrypoint: traced.Entrypoint = None,
    network: traced.Network = None,
    hostname: traced.Hostname = None,
    init: traced.Init = False,
    read_only: shared.ReadOnly = False,
    cap_drop: shared.CapDrop = None,
    cap_add: traced.CapAdd = None,
    security_opt: traced.SecurityOpt = None,
    trust: shared.Trust = False,
    json: shared.Json = False,
) -> None:
    """Ask a full and a slim image the same; report what differs."""
    from slimtrace.builder.compare.compare import CompareOptions  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.compare.compare import compare as compare_images  # noqa: PLC0415
    from slimtrace.builder.compare.questions import Questions  # noqa: PLC0415
    from slimtrace.builder.images.read.image_search import add_transport  # noqa: PLC0415
    from slimtrace.tracer.drive.step_options import StepOptions  # noqa: PLC0415
    from slimtrace.tracer.image.image_options import ImageOptions  # noqa: PLC0415
    from slimtrace.tracer.sandbox.rootless import become_root  # noqa: PLC0415
    from slimtrace.tracer.trace.trace import DriveOptions  # noqa: PLC0415

    choose_registry_access(tls_verify, authfile)
    check_globs("--ignore", ignore or ())
    changes = RerunOptions.from_command_line(
        *(env, volume, volumes, cap_drop, cap_add),
        read_only=read_only,
        user=user,
        security_opt=security_opt,
    )
    condition = _choose_ready(ready)
    services: Services = context.obj
    services.check_rerun(changes, condition)
    image_options = ImageOptions(
        full, None, workdir, user, entrypoint, network, hostname, exec_in=exec_in or (), init=init
    )
    is_port = (condition or "").startswith(_PORTS)
    request = next(filter(None, (http_get, http, http_file, openapi, replay)), None)
    image_options.check(condition, request, asks_port=is_port)
    step_options = StepOptions(
        http_get or (),
        http or (),
        http_file or (),
        openapi or (),
        replay or (),
        exec_ or (),
        image_options.commands_inside(),
        replay_unsafe=replay_unsafe,
    )
    step_options.check(http_header or (), None, crawl)
    steps = step_options.read(context.meta.get(ORDER, ()))
    questions = Questions(
        DriveOptions(
            ready=condition,
            ready_status=ready_status,
            ready_count=ready_count,
            ready_timeout=ready_timeout,
            http_headers=tuple(http_header or ()),
            crawl=crawl,
            exec_timeout=exec_timeout,
            stop_after=stop_after,
            stop_grace=stop_grace,
            directory=os.getcwd() if exec_ or (condition or "").startswith("exec:") else None,
            **steps,
        ),
        parse_signal(stop_signal).name if stop_signal is not None else None,
        tuple(args or ()),
        entrypoint,
        workdir,
        network or "host",
        hostname,
        init,
    )
    if heal and not traces:
        raise UsageError(
            "cannot use --heal without --trace: the image is built again from its trace",
            "give the trace that SLIM was built from, or build with --include",
        )
    become_root()
    options = CompareOptions(
        questions, tuple(traces or ()), heal, tuple(ignore or ()), trust, changes
    )
    found = compare_images(add_transport(full), slim, options, services.rerun)
    report_comparison(found, json=json, can_heal=bool(traces))


def report_comparison(found: Comparison, *, json: bool, can_heal: bool = True) -> NoReturn:
    """Print the result, and end the command.

    :param can_heal: whether ``--heal`` is possible as the command was given.
    """
    if json:
        print(orjson.dumps(found.document(), option=orjson.OPT_INDENT_2).decode())
    else:
        _print_comparison(found, can_heal=can_heal)
    raise typer.Exit(0 if found.differences == 0 else 1)


def _print_comparison(found: Comparison, *, can_heal: bool) -> None:
    for answer in found.differing[:_MAX_LISTED_ANSWERS]:
        _print_difference(answer)
    for line in _list_causes(found):
        fail(line)
    for answer in found.answers:
        if answer.is_unstable:
            say(f"not compared: {escape(answer.question)}: the full image answers it in two ways")
    if found.is_rebuilt:
        say(f"healed {found.slim}: {len(found.healed)} added in {found.rounds} rounds")
    if found.differences == 0:
        count = format_count(len(found.answers), "answer")
        say(f"compared {found.slim} with {found.full}: {count}, none differs")
        return
    fact = (
        f"{found.slim} differs from {found.full} in {found.differences} of "
        f"{format_count(len(found.answers), 'answer')}"
    )
    warn(Caution(fact, _find_next_step(found, can_heal=can_heal)))


def _list_causes(found: Comparison) -> Iterator[str]:
    """What may explain the differences, beside the files behind single answers."""
    if found.differences > _MAX_LISTED_ANSWERS:
        yield f"{found.differences - _MAX_LISTED_ANSWERS} more answers differ; --json lists all"
    yield from found.hints
    if not any(answer.missing for answer in found.differing):
        yield from _list_missing(found.missing)
    for item in found.left_out[:_MAX_LISTED_FILES] if found.differences else ():
        yield f"left out on purpose: {escape(item.path)} ({item.on_purpose})"


def _print_difference(answer: ComparedAnswer) -> None:
    difference = answer.difference
    if difference is None:
        return
    fail(f"{escape(answer.question)}: {difference.fact}")
    lines = (("full", difference.full), ("slim", difference.slim))
    quote(f"{side}: {line}" for side, line in lines if line)
    for line in _list_missing(answer.missing):
        fail(line)


def _list_missing(missing: Sequence[MissingFile]) -> Iterator[str]:
    for item in missing[:_MAX_LISTED_FILES]:
        yield f"missing: {escape(item.path)} ({escape('; '.join(item.processes[:2]))})"
    if len(missing) > _MAX_LISTED_FILES:
        yield f"missing: {len(missing) - _MAX_LISTED_FILES} more; --json lists all"


def _find_next_step(found: Comparison, *, can_heal: bool) -> str:
    from slimtrace.builder.compare.comparison import list_includes  # noqa: PLC0415 -- --help pays nothing

    globs = list_includes(found.missing)
    if not globs:
        return "no missing file explains it: look at what both say, or compare under other options"
    words = " ".join(f"--include {shlex.quote(glob)}" for glob in globs[:_MAX_INCLUDES])
    more = f" (and {len(globs) - _MAX_INCLUDES} more)" if len(globs) > _MAX_INCLUDES else ""
    heals = "; --heal adds it" if can_heal and not found.healed else ""
    return f"build with {words}{more}{heals}"


def _choose_ready(ready: list[str] | None) -> str | None:
    if ready is not None and len(ready) > 1:
        raise UsageError(
            "cannot use --ready twice: only one condition can be waited for", "leave one out"
        )
    return ready[0] if ready else None


compare.__doc__ = f"{compare.__doc__}\n{_COMPARE_HELP}"
