"""The options that commands of both halves share: each is declared once."""

from __future__ import annotations

from typing import Annotated

import typer

from slimtrace.tracer.cli.value_parsers import make_choice_parser, parse_depth, parse_seconds
from slimtrace.tracer.registry_access import TlsVerification
from slimtrace.tracer.rerun_options import VolumeMode

DEFAULT_TRACE = "slimtrace.trace"
DEFAULT_READY_TIMEOUT_SECONDS = 60.0
DEFAULT_EXEC_TIMEOUT_SECONDS = 3600.0
DEFAULT_STOP_GRACE_SECONDS = 10.0

TraceOutputFile = Annotated[
    str, typer.Option("-o", "--output", metavar="TRACE", help="Write the trace to this file.")
]
Append = Annotated[bool, typer.Option("--append", help="Add this run to TRACE.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Overwrite TRACE if it exists. (default: move it to TRACE.old)"),
]
NoClobber = Annotated[bool, typer.Option("--no-clobber", help="Fail if TRACE exists.")]

Command = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="COMMAND",
        help="The app and its arguments. With --image, overrides the image's Cmd.",
    ),
]
READY_METAVAR = "URL|tcp:PORT|unix:PATH|log:REGEX|file:PATH|exec:CMD|SECONDS"
Ready = Annotated[
    list[str] | None,
    typer.Option(
        metavar=READY_METAVAR,
        help="Wait until the app is ready: URL answers, PORT or the Unix socket PATH accepts "
        "connections, a line of the app's output matches REGEX, the file PATH exists, CMD succeeds "
        "in a shell outside the trace, or SECONDS have passed. :PORT and HOST:PORT are ports, too.",
    ),
]
ReadyStatus = Annotated[
    str | None,
    typer.Option(
        metavar="STATUS",
        help="HTTP status that URL must answer with: 200, 2xx, 200-399 or 200,404. "
        "(default: below 500)",
    ),
]
ReadyCount = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Number of lines that must match log:REGEX: a database whose first start runs a "
        "temporary server says twice that it is ready. (default: 1)",
    ),
]
ReadyTimeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", parser=parse_seconds, help="Time to wait until the app is ready."
    ),
]
HttpGet = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PATH",
        help="Send GET PATH to the app once it is ready, then stop the app. Fails without an "
        "answer, or on status 400 and above. Requests and commands are run in the order in which "
        "they are given; the first failure ends the run. Can be repeated.",
    ),
]
Http = Annotated[
    list[str] | None,
    typer.Option(
        "--http",
        metavar="'METHOD PATH [NAME:VALUE…] [BODY|@FILE]'",
        help="Like --http-get, but send any request, as in --http 'POST /users @user.json'. "
        "{{$env NAME}} stands for a variable of the environment, whose value is not recorded. "
        "Can be repeated.",
    ),
]
HttpFile = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Send the requests of a .http file, as VS Code and JetBrains do. Can be repeated.",
    ),
]
HttpHeader = Annotated[
    list[str] | None,
    typer.Option(
        metavar="'NAME: VALUE'",
        help="Add this header to all requests, as 'Authorization: Bearer {{$env TOKEN}}'. "
        "Can be repeated.",
    ),
]
OpenApi = Annotated[
    list[str] | None,
    typer.Option(
        "--openapi",
        metavar="FILE|URL",
        help="Send a request for each operation of an OpenAPI document: of a file, or of the app "
        "at URL. Values are the document's examples, or made up. Any answer will do. "
        "Can be repeated.",
    ),
]
Replay = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="Send the requests of a HAR that a browser saved, or those of an access log that "
        "change nothing. Any answer will do. Can be repeated.",
    ),
]
ReplayUnsafe = Annotated[
    bool,
    typer.Option(
        "--replay-unsafe",
        help="Also send an access log's POST, PUT, PATCH and DELETE, without their bodies.",
    ),
]
Crawl = Annotated[
    int | None,
    typer.Option(
        "--crawl",
        metavar="[DEPTH]",
        parser=parse_depth,
        help="Also request what answers name on the same host: images, styles, scripts and what "
        "these load, and linked pages up to DEPTH links away. (default DEPTH: 1)",
    ),
]
HttpStatus = Annotated[
    str | None,
    typer.Option(
        metavar="STATUS",
        help="HTTP status that --http-get, --http and --http-file must be answered with, as 200, "
        "2xx,404 or 200-499. (default: 200-399)",
    ),
]
Exec = Annotated[
    list[str] | None,
    typer.Option(
        "--exec",
        metavar="CMD",
        help="Run CMD in a shell once the app is ready (without --ready: at once), then stop the "
        "app. CMD is not traced. It finds the app at SLIMTRACE_URL, SLIMTRACE_HOST and "
        "SLIMTRACE_PORT. Can be repeated; the first failure ends the run.",
    ),
]
ExecTimeout = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", parser=parse_seconds, help="Time limit for each --exec and --exec-in."
    ),
]
StopAfter = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        parser=parse_seconds,
        help="Stop the app at the latest SECONDS after it is ready.",
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        metavar="auto|notify|ptrace|ptrace-syscall",
        help="How to observe system calls: seccomp notification, ptrace with a filter, or ptrace "
        "at every call. auto uses the first that works on this machine.",
    ),
]
Syscalls = Annotated[
    str,
    typer.Option(
        metavar="path|all",
        help="System calls to observe: those that name files or change how names are resolved, "
        "or all of them, for an exact list with counts (slow).",
    ),
]
StopSignal = Annotated[
    str | None,
    typer.Option(
        metavar="SIGNAL",
        help="Signal to stop the app with, by name or number, in the slim image too. "
        "(default: the stop signal of --image, or SIGTERM)",
    ),
]
StopGrace = Annotated[
    float,
    typer.Option(
        metavar="SECONDS", parser=parse_seconds, help="Time from the stop signal to SIGKILL."
    ),
]
ExitStatusOf = Annotated[
    str,
    typer.Option(
        "--exit-status",
        metavar="auto|app",
        help="Exit status when slimtrace stopped the app as planned: 0, or the app's own. "
        "A driver that failed gives 1 in any case.",
    ),
]
RunImage = Annotated[
    str | None,
    typer.Option(
        "--image",
        metavar="IMAGE",
        help="Run in IMAGE instead of this machine's root, by the image's configuration. IMAGE is "
        "a path (a layout, an archive, a root tarball, a tree), a name in podman's store, "
        "Docker's or a registry, or either with its transport: oci:DIR[:TAG], oci-archive:FILE, "
        "docker-archive:FILE, FILE.tar, tar:FILE, rootfs:DIR, containers-storage:NAME, "
        "docker-daemon:NAME or docker://NAME.",
    ),
]
Platform = Annotated[
    str | None,
    typer.Option(
        metavar="OS/ARCH[/VARIANT]", help="Platform to select from a multi-platform IMAGE."
    ),
]
TlsVerify = Annotated[
    TlsVerification | None,
    typer.Option(
        "--tls-verify",
        metavar="|".join(TlsVerification),
        parser=make_choice_parser(TlsVerification),
        help="Verify the certificates of registries; false also allows HTTP. "
        "(default: true, unless registries.conf allows a registry without)",
    ),
]
Authfile = Annotated[
    str | None,
    typer.Option(
        "--authfile",
        metavar="FILE",
        help="File with the logins for registries, as podman login --authfile writes it.",
    ),
]
Volume = Annotated[
    list[str] | None,
    typer.Option(
        "-v",
        "--volume",
        metavar="HOST:PATH[:ro]",
        help="Bind-mount HOST at PATH. Its files are not included in the image. Can be repeated.",
    ),
]
CapAdd = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CAPABILITY",
        help="Add a capability to those that root has in a container, or all. Can be repeated.",
    ),
]
VolumeUse = Annotated[
    VolumeMode,
    typer.Option(
        "--volumes",
        metavar="|".join(VolumeMode),
        parser=make_choice_parser(VolumeMode),
        help="copy: run keeps a copy of writable -v folders as they were before, and repeated runs "
        "change only copies. shared: run keeps none, and repeated runs change the folders.",
    ),
]
Env = Annotated[
    list[str] | None,
    typer.Option(
        "-e",
        "--env",
        metavar="NAME[=VALUE]",
        help="Set an environment variable for the app. Without VALUE, use slimtrace's own value. "
        "Can be repeated.",
    ),
]
Workdir = Annotated[
    str | None, typer.Option(metavar="PATH", help="Working directory inside the sandbox.")
]
User = Annotated[
    str | None,
    typer.Option(
        metavar="USER[:GROUP]",
        help="User[:group] to run as, by name in the image or by number.",
    ),
]
Entrypoint = Annotated[
    str | None,
    typer.Option(
        metavar="COMMAND",
        help="Override the image's Entrypoint and Cmd: a program, a JSON list of a program and "
        "its arguments, or an empty string for no entrypoint.",
    ),
]
Network = Annotated[
    str | None,
    typer.Option(metavar="host|none", help="Network of the sandbox. (default: host)"),
]
Hostname = Annotated[str | None, typer.Option(metavar="NAME", help="Host name inside the sandbox.")]
Init = Annotated[
    bool,
    typer.Option(
        "--init",
        help="Make a small init process 1 of the sandbox: it passes signals on to the app, and "
        "waits for orphans. (default: the app is process 1)",
    ),
]
SecurityOpt = Annotated[
    list[str] | None,
    typer.Option(
        metavar="no-new-privileges",
        help="Give setuid programs and file capabilities no effect in the sandbox.",
    ),
]
ExecIn = Annotated[
    list[str] | None,
    typer.Option(
        "--exec-in",
        metavar="CMD",
        help="Like --exec, but run CMD in the image, traced and without a shell. Can be repeated.",
    ),
]
