"""The options that several of the builder's commands share. Each is declared once."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from slimtrace.builder.model import Keep, Zones
from slimtrace.builder.sbom.bom import SbomFormat
from slimtrace.tracer.cli.value_parsers import make_choice_parser, parse_count

Traces = Annotated[list[str], typer.Argument(metavar="TRACE...", help="Traces of the same image.")]
ImageOutput = Annotated[
    str,
    typer.Option(
        "-o",
        "--output",
        metavar="DEST",
        help="Write the image to DEST: FILE.tar, oci:DIR[:TAG], oci-archive:FILE, "
        "docker-archive:FILE, rootfs:DIR, tar:FILE, containers-storage:NAME, docker-daemon:NAME "
        "or docker://NAME. NAME[:TAG] alone goes to the store that the full image came from.",
    ),
]
FullImageReference = Annotated[
    str | None,
    typer.Option(
        "--image",
        metavar="IMAGE",
        help="Read the full image from here, as run --image accepts it, instead of where the "
        "trace was recorded: after a move, on another machine, or for traces of several images. "
        "rootfs:/ is this machine.",
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Include matching paths. ** matches across directories. Can be repeated.",
    ),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Exclude matching paths; overrides --include."),
]
DropProcess = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Exclude files that only matching processes and their descendants used. Matches the "
        "program's path, its name or the command line, as curl or '*pytest*'; * also matches / "
        "and spaces.",
    ),
]
OnlyProcess = Annotated[
    list[str] | None,
    typer.Option(
        metavar="GLOB",
        help="Include only files that matching processes and their descendants used.",
    ),
]
KeepLevel = Annotated[
    Keep,
    typer.Option(
        metavar="|".join(Keep),
        parser=make_choice_parser(Keep),
        help="How much to keep. touched: files that were used and what they need to load. "
        "closure: also files that those imply, by rules. app: also the whole application: its own "
        "folders and the language packages that it uses. package: also the rest of each package "
        "that was used.",
    ),
]
WithoutRule = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Disable a rule, by the reason name shown in --json."),
]
Jlink = Annotated[
    bool,
    typer.Option(
        "--jlink",
        help="Replace the Java runtime by one with only the modules that the app uses, linked "
        "by the full image's jlink. Runs the app once more in the full image.",
    ),
]
JlinkModules = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAMES",
        help="Link these modules too, separated by commas, as jdk.zipfs,jdk.naming.dns. Implies "
        "--jlink.",
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Fail if an --include, --exclude, --drop-process or --only-process matches nothing.",
    ),
]
AllowSecret = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Include matching files that look like secrets."),
]
ImageUserOption = Annotated[
    str | None,
    typer.Option(
        "--user",
        metavar="UID[:GID]",
        help="User of the image. (default: the full image's user, or 65532:65532 unless a run "
        "needed root)",
    ),
]
GrantRead = Annotated[
    bool,
    typer.Option("--grant-read", help="Make included files readable for the image's user."),
]
GrantWrite = Annotated[
    bool,
    typer.Option(
        "--grant-write",
        help="Make the image's user the owner of directories in which the app created files.",
    ),
]
AllowChanged = Annotated[
    bool, typer.Option("--allow-changed", help="Accept files that changed since the run.")
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Repeat runs of a trace that this user did not make on this machine: their commands "
        "run, their folders are mounted.",
    ),
]
AllowFailed = Annotated[
    bool,
    typer.Option(
        "--allow-failed",
        help="Accept runs that failed: by a driver, readiness or their exit status.",
    ),
]
ImageEnv = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        metavar="NAME=VALUE",
        help="Set an environment variable in the image. Can be repeated.",
    ),
]
ImageEntrypoint = Annotated[
    str | None,
    typer.Option(
        "--entrypoint",
        metavar="COMMAND",
        help="Entrypoint of the image, in shell syntax or as a JSON list. (default: the full "
        "image's, if the run used it; else none)",
    ),
]
Cmd = Annotated[
    str | None,
    typer.Option(
        metavar="ARGS",
        help="Cmd of the image, in shell syntax or as a JSON list: the arguments after the "
        "entrypoint. (default: the traced command without the entrypoint)",
    ),
]
DefaultRun = Annotated[
    int,
    typer.Option(
        metavar="N",
        parser=parse_count,
        help="Number of the run, as listed by show, that the image starts: its command, "
        "directory, user, environment and stop signal.",
    ),
]
ImageWorkdir = Annotated[
    str | None,
    typer.Option(
        "--workdir", metavar="DIR", help="Working directory of the image. (default: the run's)"
    ),
]
ImageStopSignal = Annotated[
    str | None,
    typer.Option("--stop-signal", metavar="SIGNAL", help="Stop signal of the image."),
]
Expose = Annotated[
    list[str] | None,
    typer.Option(
        metavar="PORT[/PROTO]", help="Expose a port, besides those that the app listened on."
    ),
]
ImageVolume = Annotated[
    list[str] | None,
    typer.Option("--volume", metavar="PATH", help="Declare a directory as a volume."),
]
Label = Annotated[
    list[str] | None, typer.Option(metavar="NAME=VALUE", help="Add a label to the image.")
]
NoHealthcheck = Annotated[
    bool, typer.Option("--no-healthcheck", help="Drop the full image's health check.")
]
NoBaseline = Annotated[
    bool,
    typer.Option(
        "--no-baseline",
        help="Omit the files that every image is expected to have: os-release, accounts, CA "
        "certificates, time zone, nsswitch.conf. --without-rule omits one of them.",
    ),
]
Tzdata = Annotated[
    Zones,
    typer.Option(
        metavar="|".join(Zones),
        parser=make_choice_parser(Zones),
        help="Time zones to include: those in use, or all.",
    ),
]
Debug = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Also build an image with busybox beside the app: TAG-debug, or FILE-debug.tar.",
    ),
]
NoPythonSources = Annotated[
    bool,
    typer.Option(
        "--no-python-sources",
        help="Omit Python sources that no run read, and use the compiled files instead. "
        "Tracebacks then show no source lines. Sources that are loaded by path need --include.",
    ),
]
NoPackageMetadata = Annotated[
    bool,
    typer.Option(
        "--no-package-metadata",
        help="Omit the package database entries of included files, which scanners read.",
    ),
]
Sbom = Annotated[
    list[Any] | None,  # pairs, by SbomCommand
    typer.Option(
        parser=lambda value: value,  # else typer 0.29 makes a string of each pair
        metavar="FORMAT FILE",
        help="Write an SBOM to FILE; FORMAT is spdx or cyclonedx. With -o docker://NAME, also "
        "attach it to the image in the registry. Can be repeated.",
    ),
]
EmbedSbom = Annotated[
    list[SbomFormat] | None,
    typer.Option(
        metavar="|".join(SbomFormat),
        parser=make_choice_parser(SbomFormat),
        help="Include an SBOM in the image, at /usr/share/sbom. Scanners then report each package "
        "twice.",
    ),
]
Tag = Annotated[
    str | None,
    typer.Option(
        "-t",
        "--tag",
        metavar="NAME[:TAG]",
        help="Name of the image. (default: the full image's, or one from DEST)",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Ignore = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Do not report matching paths as missing. Can be repeated."),
]
ReadOnly = Annotated[bool, typer.Option("--read-only", help="Run with a read-only root.")]
CapDrop = Annotated[
    list[str] | None,
    typer.Option(metavar="CAPABILITY", help="Drop a capability, or all. Can be repeated."),
]
