"""The command ``run``: parse, call one function, print."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING

import typer

from slimtrace.tracer.cli import options
from slimtrace.tracer.cli.drive_command import ORDER
from slimtrace.tracer.cli.messages import choose_if_exists, print_result, print_unrequested
from slimtrace.tracer.cli.value_parsers import parse_signal
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.registry_access import choose_registry_access
from slimtrace.tracer.rerun_options import VolumeMode
from slimtrace.tracer.trace.trace import DEFAULT_HTTP_STATUS, DriveOptions

if TYPE_CHECKING:
    from slimtrace.tracer.image.opened_image import ImageServices

_RUN_HELP = """
Examples:

  slimtrace run -- python app.py

  slimtrace run --ready http://127.0.0.1:8080/ --exec 'curl -f http://127.0.0.1:8080/users' -- python app.py

  slimtrace run --ready log:'listening on' --http-get / --http-get /users -- ./server

  slimtrace run --ready tcp:8080 --http-get / --crawl --http 'POST /users @user.json' -- ./server

  slimtrace run --ready tcp:8080 --exec 'pytest tests/integration' -- python app.py

  slimtrace run --append -- alembic upgrade head

  slimtrace run --image oci:./full:latest --user nobody -v ./data:/data -- python app.py

Exit status: that of COMMAND (128+N if signal N ended it), and 0 if slimtrace stopped it after all
drivers or --stop-after; 1 if a driver failed or the app did not become ready; 125 if slimtrace
failed; 126 if COMMAND cannot be executed; 127 if it is not found.
"""  # noqa: E501 -- an example is one line


def run(
    context: typer.Context,
    command: options.Command = None,
    output: options.TraceOutputFile = options.DEFAULT_TRACE,
    append: options.Append = False,
    force: options.Force = False,
    no_clobber: options.NoClobber = False,
    ready: options.Ready = None,
    ready_status: options.ReadyStatus = None,
    ready_count: options.ReadyCount = None,
    ready_timeout: options.ReadyTimeout = options.DEFAULT_READY_TIMEOUT_SECONDS,
    http_get: options.HttpGet = None,
    http: options.Http = None,
    http_file: options.HttpFile = None,
    openapi: options.OpenApi = None,
    replay: options.Replay = None,
    replay_unsafe: options.ReplayUnsafe = False,
    crawl: options.Crawl = None,
    http_header: options.HttpHeader = None,
    http_status: options.HttpStatus = None,
    exec_: options.Exec = None,
    exec_timeout: options.ExecTimeout = options.DEFAULT_EXEC_TIMEOUT_SECONDS,
    stop_after: options.StopAfter = None,
    engine: options.Engine = "auto",
    syscalls: options.Syscalls = "path",
    stop_signal: options.StopSignal = None,
    stop_grace: options.StopGrace = options.DEFAULT_STOP_GRACE_SECONDS,
    image: options.RunImage = None,
    platform: options.Platform = None,
    tls_verify: options.TlsVerify = None,
    authfile: options.Authfile = None,
    volume: options.Volume = None,
    volumes: options.VolumeUse = VolumeMode.COPY,
    env: options.Env = None,
    workdir: options.Workdir = None,
    user: options.User = None,
    entrypoint: options.Entrypoint = None,
    network: options.Network = None,
    hostname: options.Hostname = None,
    init: options.Init = False,
    security_opt: options.SecurityOpt = None,
    exec_in: options.ExecIn = None,
    cap_add: options.CapAdd = None,
    exit_status: options.ExitStatusOf = "auto",
) -> None:
    """Run COMMAND and record every file that it uses."""
    from slimtrace.tracer.drive.step_options import StepOptions  # noqa: PLC0415
    from slimtrace.tracer.run import RunOptions  # noqa: PLC0415
    from slimtrace.tracer.run import run as run_traced  # noqa: PLC0415
    from slimtrace.tracer.sandbox.rootless import become_root  # noqa: PLC0415
    from slimtrace.tracer.trace.output import TraceOutput  # noqa: PLC0415 -- not needed for --help

    choose_registry_access(tls_verify, authfile)
    if_exists = choose_if_exists(append=append, force=force, no_clobber=no_clobber)
    if exit_status not in ("auto", "app"):
        raise UsageError(f"cannot use --exit-status {exit_status}: choose auto or app")
    image_options = None
    lists = volume or (), env or (), exec_in or (), cap_add or (), security_opt or ()
    texts = image, platform, workdir, user, entrypoint, network, hostname
    if init or any(lists) or any(text is not None for text in texts):
        from slimtrace.tracer.image.image_options import ImageOptions  # noqa: PLC0415 -- for images alone

        image_options = ImageOptions(*texts, *lists, init=init)
        condition = ready[0] if ready else None
        request = next(filter(None, (http_get, http, http_file, openapi, replay)), None)
        image_options.check(condition, request, asks_port=_asks_port(condition))
    elif not command:
        raise UsageError("cannot run: COMMAND is missing", "slimtrace run -- COMMAND")
    if ready is not None and len(ready) > 1:
        raise UsageError(
            "cannot use --ready twice: only one condition can be waited for", "leave one out"
        )
    chosen_engine = _parse_engine(engine, syscalls)
    chosen_signal = parse_signal(stop_signal) if stop_signal is not None else None
    step_options = StepOptions(
        http_get or (),
        http or (),
        http_file or (),
        openapi or (),
        replay or (),
        exec_ or (),
        image_options.commands_inside() if image_options else (),
        replay_unsafe=replay_unsafe,
    )
    step_options.check(http_header or (), http_status, crawl)
    steps = step_options.read(context.meta.get(ORDER, ()))
    with ExitStack() as stack:
        argv, image_run = tuple(command or ()), None
        if image_options is not None and image is not None:
            services: ImageServices = context.obj
            opening = services.open_image(image, platform)
            become_root()  # before the image is unpacked: its files may be of many users
            opened = stack.enter_context(opening)
            argv, image_run = image_options.in_image(opened, argv)
            chosen_signal = chosen_signal or image_options.stop_signal(opened)
        driving = None
        is_refined = ready_status is not None or ready_count is not None
        if ready or is_refined or not step_options.is_empty or stop_after is not None:
            is_asked_by_command = any(each.startswith("exec:") for each in ready or ())
            driving = DriveOptions(
                ready=ready[0] if ready else None,
                ready_status=ready_status,
                ready_count=ready_count,
                ready_timeout=ready_timeout,
                http_status=http_status or DEFAULT_HTTP_STATUS,
                http_headers=tuple(http_header or ()),
                crawl=crawl,
                exec_timeout=exec_timeout,
                stop_after=stop_after,
                stop_signal=(chosen_signal or signal.SIGTERM).name,
                stop_grace=stop_grace,
                directory=_find_directory() if exec_ or is_asked_by_command else None,
                **steps,
            )
        run_options = RunOptions(
            TraceOutput(output, if_exists),
            drive_options=driving,
            stop_signal=chosen_signal,
            engine=chosen_engine,
            all_calls=syscalls == "all",
            inside=image_run,
            keeps_volumes=volumes is VolumeMode.COPY,
        )
        result = run_traced(argv, run_options)
    print_result(result, output)
    if context.info_name == "run":  # slim knows which of them are files
        print_unrequested(result)
    raise typer.Exit(result.app_exit_status if exit_status == "app" else result.exit_status)


def _find_directory() -> str | None:
    """The current directory, where commands find their relative files; None if it was deleted."""
    try:
        return os.getcwd()
    except FileNotFoundError:
        return None


def _asks_port(ready: str | None) -> bool:
    """:raises UsageError: the value of ``--ready`` is wrong."""
    if ready is None:
        return False
    from slimtrace.tracer.drive.ready import TcpPort, Url, parse_ready  # noqa: PLC0415 -- not needed for --help

    return isinstance(parse_ready(ready, None, "/"), TcpPort | Url)


def _parse_engine(engine: str, syscalls: str) -> str:
    """:raises UsageError: there is no such engine or choice of calls, or they conflict."""
    from slimtrace.tracer.engines.choice import AUTO, ENGINES  # noqa: PLC0415 -- not needed for --help

    if engine not in (AUTO, *ENGINES):
        raise UsageError(f"cannot use --engine {engine}: choose {' or '.join((AUTO, *ENGINES))}")
    if syscalls not in ("path", "all"):
        raise UsageError(f"cannot use --syscalls {syscalls}: choose path or all")
    if syscalls == "all" and engine == "notify":
        raise UsageError(
            "cannot use --syscalls all with --engine notify: only ptrace observes every call",
            "leave --engine out",
        )
    return engine


run.__doc__ = f"{run.__doc__}\n{_RUN_HELP}"
