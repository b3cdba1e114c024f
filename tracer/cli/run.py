"""The command ``run``: parse, call one function, print."""

from __future__ import annotations

import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from slimtrace.tracer.cli.options import DEFAULT_TRACE, Append, Force, TraceFile, check_output, tell
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.trace.trace import DriveOptions

if TYPE_CHECKING:
    from slimtrace.tracer.image.opened_image import ImageServices

_RUN_HELP = """
Examples:

  slimtrace run -- python app.py

  slimtrace run --ready http://127.0.0.1:8080/ --exec 'curl -f http://127.0.0.1:8080/users' -- python app.py

  slimtrace run --ready log:'listening on' --http-get / --http-get /users -- ./server

  slimtrace run --ready tcp:8080 --exec 'pytest tests/integration' -- python app.py

  slimtrace run --append -- alembic upgrade head

  slimtrace run --image oci:./full:latest --user nobody -v ./data:/data -- python app.py

Exit status: that of COMMAND (128+N when signal N ended it); 1 when a driver failed or the app
never was ready; 125 when slimtrace failed, 126 when COMMAND cannot be executed, 127 when it is
not found.
"""  # noqa: E501 -- an example is one line


def run(
    context: typer.Context,
    command: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="COMMAND",
            help="The app and its arguments; with --image, in the place of the image's Cmd.",
        ),
    ] = None,
    output: TraceFile = DEFAULT_TRACE,
    append: Append = False,
    force: Force = False,
    ready: Annotated[
        list[str] | None,
        typer.Option(
            metavar="URL|tcp:PORT|unix:PATH|log:REGEX|file:PATH|SECONDS",
            help="The app is ready when URL answers, PORT or the socket PATH accepts, a line of "
            "its output matches, the file PATH is there, or SECONDS have passed.",
        ),
    ] = None,
    ready_status: Annotated[
        str | None,
        typer.Option(
            metavar="STATUS", help="With which status: 200, 2xx, 200-399, 200,404 (below 500)."
        ),
    ] = None,
    ready_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long to wait until it is ready.")
    ] = 60.0,
    http_get: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="GET PATH of the app once it is ready, before all --exec, then stop the app. "
            "May be repeated, and ends with the first that fails: no answer, or 500 and above.",
        ),
    ] = None,
    commands: Annotated[
        list[str] | None,
        typer.Option(
            "--exec",
            metavar="CMD",
            help="Run CMD by the shell, outside the trace, once the app is ready (without --ready: "
            "at once); then stop the app. SLIMTRACE_URL, SLIMTRACE_HOST and SLIMTRACE_PORT say "
            "where it is. May be repeated, and ends with the first that fails.",
        ),
    ] = None,
    exec_timeout: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="How long each driver may run.")
    ] = 3600.0,
    stop_after: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS", min=0, help="Stop the app SECONDS after it is ready, at the latest."
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar="auto|notify|ptrace|ptrace-syscall",
            help="How calls are seen: by seccomp notification, by ptrace with a filter, or by "
            "ptrace at every call; auto takes the first that works here.",
        ),
    ] = "auto",
    syscalls: Annotated[
        str,
        typer.Option(
            metavar="path|all",
            help="Which system calls are stopped: those that name files or change what names "
            "mean, or all, for an exact list with counts (slow).",
        ),
    ] = "path",
    stop_signal: Annotated[
        str | None,
        typer.Option(
            metavar="SIG",
            help="The signal that stops the app, in the image too: a name or number (SIGTERM, or "
            "what --image says).",
        ),
    ] = None,
    stop_grace: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="From that signal to SIGKILL."),
    ] = 10.0,
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="Run in IMAGE instead of this machine's root, as it says: oci:DIR[:TAG], "
            "oci-archive:FILE, docker-archive:FILE, FILE.tar, tar:FILE, rootfs:DIR, "
            "containers-storage:NAME, docker-daemon:NAME or docker://NAME.",
        ),
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(metavar="OS/ARCH[/VARIANT]", help="Which of the images that IMAGE names."),
    ] = None,
    volume: Annotated[
        list[str] | None,
        typer.Option(
            "-v",
            "--volume",
            metavar="HOST:PATH[:ro]",
            help="Show HOST at PATH; it is no part of the image. May be repeated.",
        ),
    ] = None,
    env: Annotated[
        list[str] | None,
        typer.Option(
            "-e",
            "--env",
            metavar="NAME[=VALUE]",
            help="Set a variable, to this machine's value without VALUE. May be repeated.",
        ),
    ] = None,
    workdir: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="Where to run."),
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            metavar="USER[:GROUP]", help="Whom to run as: names of the image, or numbers."
        ),
    ] = None,
    entrypoint: Annotated[
        str | None,
        typer.Option(
            metavar="WORD",
            help="Instead of the image's Entrypoint and Cmd; a JSON list for several words, an "
            "empty one for none.",
        ),
    ] = None,
    network: Annotated[
        str | None,
        typer.Option(metavar="host|none", help="Whose network (host)."),
    ] = None,
    hostname: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="What the host is called."),
    ] = None,
    exec_in: Annotated[
        list[str] | None,
        typer.Option(
            "--exec-in",
            metavar="CMD",
            help="As --exec, but in the image, traced and without a shell; after all --exec. May "
            "be repeated.",
        ),
    ] = None,
) -> None:
    """Trace COMMAND: record every file that it touches and every program it executes."""
    from slimtrace.tracer.run import RunOptions  # noqa: PLC0415
    from slimtrace.tracer.run import run as trace_run  # noqa: PLC0415
    from slimtrace.tracer.trace.output import TraceOutput  # noqa: PLC0415 -- not needed for --help

    check_output(append=append, force=force)
    about = None
    lists = volume or (), env or (), exec_in or ()
    texts = image, platform, workdir, user, entrypoint, network, hostname
    if any(lists) or any(text is not None for text in texts):
        from slimtrace.tracer.image.image_options import ImageOptions  # noqa: PLC0415 -- for images alone

        about = ImageOptions(*texts, *lists)
        about.check(ready[0] if ready else None, http_get)
    elif not command:
        raise UsageError("cannot run: COMMAND is missing", "slimtrace run -- COMMAND")
    if ready is not None and len(ready) > 1:
        raise UsageError("cannot use --ready twice: one thing shows that the app is ready")
    number = parse_signal(stop_signal) if stop_signal is not None else None
    beside = about.commands_inside() if about else ()
    with ExitStack() as stack:
        words, inside = tuple(command or ()), None
        if about is not None and image is not None:
            services: ImageServices = context.obj
            opened = stack.enter_context(services.open_image(image, platform))
            words, inside = about.in_image(opened, words)
            number = number or about.stop_signal(opened)
        driving = None
        if ready or ready_status or http_get or commands or beside or stop_after is not None:
            driving = DriveOptions(
                ready=ready[0] if ready else None,
                ready_status=ready_status,
                ready_timeout=ready_timeout,
                http_get=tuple(http_get or ()),
                commands=tuple(commands or ()),
                inside=beside,
                exec_timeout=exec_timeout,
                stop_after=stop_after,
                stop_signal=(number or signal.SIGTERM).name,
                stop_grace=stop_grace,
            )
        options = RunOptions(
            TraceOutput(output, append, force),
            driving=driving,
            stop_signal=number,
            engine=_engine(engine, syscalls),
            all_calls=syscalls == "all",
            inside=inside,
        )
        result = trace_run(words, options)
    tell(result, output)
    raise typer.Exit(result.exit_status)


def _engine(asked: str, syscalls: str) -> str:
    """:raises UsageError: there is no such engine or choice of calls, or they conflict."""
    from slimtrace.tracer.engines.choice import AUTO, ENGINES  # noqa: PLC0415 -- not needed for --help

    if asked not in (AUTO, *ENGINES):
        raise UsageError(f"cannot use --engine {asked}: choose {AUTO}, {', '.join(ENGINES)}")
    if syscalls not in ("path", "all"):
        raise UsageError(f"cannot use --syscalls {syscalls}: choose path or all")
    if syscalls == "all" and asked == "notify":
        raise UsageError(
            "cannot use --syscalls all with --engine notify: every call is seen by ptrace alone"
        )
    return asked


def parse_signal(text: str) -> signal.Signals:
    """A signal by name, with or without SIG, or by number.

    :raises UsageError: there is no such signal.
    """
    try:
        if text.isdigit():
            return signal.Signals(int(text))
        name = text.upper()
        return signal.Signals[name if name.startswith("SIG") else f"SIG{name}"]
    except (KeyError, ValueError) as error:
        raise UsageError(f"cannot use --stop-signal {text}: there is no such signal") from error


run.__doc__ = f"{run.__doc__}\n{_RUN_HELP}"
