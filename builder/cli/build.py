"""The builder's commands: parse, call one function, print."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer
from typer.core import TyperCommand

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.model import Keep, Zones
from slimtrace.builder.sbom.bom import SbomFormat
from slimtrace.tracer.console import say, warn
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slimtrace.builder.report import BuildReport, WrittenImage
    from slimtrace.builder.sbom.sbom_files import Sbom
    from slimtrace.builder.services import Services


class SbomCommand(TyperCommand):
    """A command whose option ``--sbom``, declared as a list, takes two words at a time."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        for parameter in self.params:
            if parameter.name == "sbom":
                parameter.nargs = 2


def sbom_words(given: Iterable[Iterable[str]]) -> tuple[tuple[str, str], ...]:
    """The formats and files of ``--sbom``.

    :raises UsageError: a format is none.
    """
    found = []
    for name, path in given:
        if name not in {*SbomFormat}:
            raise UsageError(
                f"cannot write an SBOM as {name}: there are {' and '.join(SbomFormat)}",
                f"as in --sbom {SbomFormat.SPDX} app{SbomFormat.SPDX.ending}",
            )
        found.append((name, path))
    return tuple(found)


_BUILD_HELP = """
Examples:

  slimtrace build slimtrace.trace -o app.tar && podman load -i app.tar

  slimtrace build idle.trace busy.trace -o oci:app:v1 --json

  slimtrace build slimtrace.trace -o app.tar --include '/usr/share/zoneinfo/**' --user 65532:65532

  slimtrace build app.trace -o app.tar --sbom spdx app.spdx.json --sbom cyclonedx app.cdx.json

  slimtrace build app.trace -o app.tar --default-run 2 --drop-process curl --drop-process '*pytest*'
"""


def build(
    context: typer.Context,
    traces: Annotated[list[str], typer.Argument(metavar="TRACE...", help="Traces of one image.")],
    output: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="DEST",
            help="Where the image goes: FILE.tar, oci:DIR[:TAG], oci-archive:FILE, "
            "docker-archive:FILE, rootfs:DIR or tar:FILE.",
        ),
    ],
    image: Annotated[
        str | None,
        typer.Option(
            "--image",
            metavar="IMAGE",
            help="Where the full image lies now, as run --image takes it: it was moved or renamed, "
            "or the trace is another machine's, or of several images. rootfs:/ is this machine.",
        ),
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Keep these paths too; ** crosses directories."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Leave these paths out; wins.")
    ] = None,
    drop_process: Annotated[
        list[str] | None,
        typer.Option(
            metavar="GLOB",
            help="Leave out what only these processes and their descendants touched: by program, "
            "its name or command line, as curl or '*pytest*'; * crosses / and blanks.",
        ),
    ] = None,
    only_process: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Keep only what these and their descendants touched."),
    ] = None,
    keep: Annotated[
        Keep,
        typer.Option(
            help="What is kept: what was touched and needs to load; what that implies too, by "
            "rules; or all of each package that was touched."
        ),
    ] = Keep.CLOSURE,
    without_rule: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Switch off a rule or part: a reason in --json."),
    ] = None,
    jlink: Annotated[
        bool,
        typer.Option(
            "--jlink",
            help="Put a Java runtime of the modules that the app uses, linked by the full image's "
            "own jlink, in the place of the whole one. Runs the app once more in the full image.",
        ),
    ] = False,
    jlink_modules: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="Link these modules too, as jdk.zipfs,jdk.naming.dns."),
    ] = None,
    allow_secret: Annotated[
        list[str] | None, typer.Option(metavar="GLOB", help="Let these secrets in.")
    ] = None,
    user: Annotated[
        str | None,
        typer.Option(
            metavar="UID[:GID]",
            help="The image's user; without it that of the full image, or 65532:65532 where the "
            "runs did nothing that needs root.",
        ),
    ] = None,
    grant_read: Annotated[
        bool, typer.Option("--grant-read", help="Open the copies that the user could not read.")
    ] = False,
    grant_write: Annotated[
        bool,
        typer.Option("--grant-write", help="Give the folders that the app made files in to USER."),
    ] = False,
    allow_changed: Annotated[
        bool, typer.Option("--allow-changed", help="Build from files changed since the run.")
    ] = False,
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Set a variable in the image."),
    ] = None,
    entrypoint: Annotated[
        str | None,
        typer.Option(
            metavar="WORDS",
            help="The image's entrypoint, as shell words or a JSON list; without it, the first "
            "word of what ran. --cmd gives the rest.",
        ),
    ] = None,
    cmd: Annotated[
        str | None, typer.Option(metavar="WORDS", help="The words after the entrypoint.")
    ] = None,
    default_run: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Which run the image starts, as show numbers them: its command, directory, user, "
            "variables and stop signal.",
        ),
    ] = 1,
    workdir: Annotated[
        str | None, typer.Option(metavar="DIR", help="The image's directory; else the run's.")
    ] = None,
    stop_signal: Annotated[
        str | None, typer.Option(metavar="SIG", help="The signal that stops the image's app.")
    ] = None,
    expose: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PORT[/PROTO]", help="Ports beside those that the app was seen to listen on."
        ),
    ] = None,
    volume: Annotated[
        list[str] | None, typer.Option(metavar="PATH", help="Mark a directory as a volume.")
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Label the image.")
    ] = None,
    no_healthcheck: Annotated[
        bool, typer.Option("--no-healthcheck", help="Leave the full image's healthcheck out.")
    ] = False,
    no_baseline: Annotated[
        bool,
        typer.Option(
            "--no-baseline",
            help="Leave out what any image is expected to have: the distribution's name, accounts, "
            "root certificates, time zone, nsswitch.conf. --without-rule takes one of them.",
        ),
    ] = False,
    tzdata: Annotated[
        Zones, typer.Option(help="Time zones to keep: those in use, or all there are.")
    ] = Zones.IN_USE,
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            help="Build a second image too that has busybox beside the app: TAG-debug, or "
            "FILE-debug.tar.",
        ),
    ] = False,
    no_python_sources: Annotated[
        bool,
        typer.Option(
            "--no-python-sources",
            help="Leave out Python sources that no run read: what was compiled of them takes their "
            "place. Tracebacks then have no lines of code; what is loaded by its path takes "
            "--include.",
        ),
    ] = False,
    no_package_metadata: Annotated[
        bool,
        typer.Option(
            "--no-package-metadata",
            help="Leave out what scanners read: the part of the package database that tells of "
            "the kept files.",
        ),
    ] = False,
    sbom: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FORMAT FILE",
            help="Write an SBOM to FILE, as spdx or cyclonedx; may be repeated. With -o "
            "docker://NAME it is also attached to the image in the registry.",
        ),
    ] = None,
    embed_sbom: Annotated[
        list[SbomFormat] | None,
        typer.Option(
            help="Put an SBOM into the image too, at /usr/share/sbom: scanners then report what "
            "is in it twice."
        ),
    ] = None,
    tag: Annotated[
        str | None, typer.Option("-t", "--tag", metavar="NAME[:TAG]", help="Name the image.")
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print what was built as JSON on stdout.")
    ] = False,
) -> None:
    """Build the image that holds what the traces saw, what that needs to load, and no more."""
    options = build_options(locals())
    services: Services = context.obj
    from slimtrace.builder.pipeline import build as build_image  # noqa: PLC0415 -- --help pays nothing

    if options.jlink:
        from slimtrace.builder.verify.java_modules import observe  # noqa: PLC0415 -- for Java alone

        observe(traces, options, services.rerun)
    report = build_image(traces, output, options, services.rerun)
    if json:
        print(orjson.dumps(report.document(), option=orjson.OPT_INDENT_2).decode())
        return
    tell_build(report)


def build_options(given: Mapping[str, Any]) -> BuildOptions:
    """What the options of the command say.

    :param given: the command's parameters by name.
    """
    many: dict[str, str] = {
        "include": "include",
        "exclude": "exclude",
        "without_rules": "without_rule",
        "allow_secret": "allow_secret",
        "env": "env",
        "expose": "expose",
        "volumes": "volume",
        "labels": "label",
        "drop_process": "drop_process",
        "only_process": "only_process",
    }
    plain = (
        *("keep", "user", "grant_read", "grant_write", "allow_changed"),
        *("workdir", "stop_signal", "tag", "default_run", "image", "debug"),
    )
    said: dict[str, Any] = {name: tuple(given[option] or ()) for name, option in many.items()}
    return BuildOptions(
        **said,
        **{name: given[name] for name in plain},
        entrypoint=_words("--entrypoint", given["entrypoint"]),
        cmd=_words("--cmd", given["cmd"]),
        healthcheck=not given["no_healthcheck"],
        baseline=not given["no_baseline"],
        all_zones=given["tzdata"] is Zones.ALL,
        python_sources=not given["no_python_sources"],
        package_metadata=not given["no_package_metadata"],
        jlink=given["jlink"] or bool(given["jlink_modules"]),
        jlink_modules=_names(given["jlink_modules"] or ()),
        sbom=sbom_words(given["sbom"] or ()),
        embed_sbom=tuple(each.value for each in given["embed_sbom"] or ()),
        source_date_epoch=source_date_epoch(),
    )


def tell_build(report: BuildReport) -> None:
    """What was built, for people."""
    for warning in report.selection.warnings:
        warn(warning)
    for line in _summary(report):
        say(line)


def _words(option: str, text: str | None) -> tuple[str, ...] | None:
    """A command as podman takes it: a JSON list of words, or words as the shell splits them.

    :raises UsageError: it is neither.
    """
    if text is None:
        return None
    try:
        words = orjson.loads(text) if text.startswith("[") else shlex.split(text)
    except ValueError as error:
        raise UsageError(f"cannot use {option} {text}: {error}") from error
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise UsageError(f"cannot use {option} {text}: it is no list of words")
    return tuple(words)


def _names(options: Sequence[str]) -> tuple[str, ...]:
    """Names between commas, in any number of options."""
    names = (name.strip() for option in options for name in option.split(","))
    return tuple(sorted({name for name in names if name}))


def source_date_epoch() -> int | None:
    """What SOURCE_DATE_EPOCH says (reproducible-builds.org), None without it.

    :raises UsageError: it is no number.
    """
    value = os.environ.get("SOURCE_DATE_EPOCH", "")
    if not value:
        return None
    if not value.isdecimal():
        raise UsageError(f"cannot use SOURCE_DATE_EPOCH={value}: it is not a number of seconds")
    return int(value)


def _summary(report: BuildReport) -> list[str]:
    from rich.filesize import decimal  # noqa: PLC0415 -- --help pays nothing

    kept, full = report.kept, report.full
    layer = report.image.layer
    sizes = f"{decimal(layer.size)} compressed, {decimal(layer.uncompressed)} unpacked"
    return [
        f"kept {kept.files} of {full.files} files, {decimal(kept.size)} of {decimal(full.size)}",
        f"wrote {report.destination}: {sizes}",
        f"digest {report.image.digest}",
        *map(_of_sbom, report.sboms),
        *_of_debug(report.debug),
        *_next_step(report.destination),
    ]


def _of_sbom(sbom: Sbom) -> str:
    attached = f", attached to the image as {sbom.attached}" if sbom.attached else ""
    return f"wrote {sbom.path}{attached}"


def _of_debug(written: WrittenImage | None) -> list[str]:
    if written is None:
        return []
    return [f"wrote {written.destination}, with busybox: podman run -it --entrypoint sh IMAGE"]


def _next_step(destination: str) -> list[str]:
    from slimtrace.builder.images.reference import Transport, parse_reference  # noqa: PLC0415

    reference = parse_reference(destination)
    match reference.transport:
        case Transport.ARCHIVE | Transport.OCI_ARCHIVE | Transport.DOCKER_ARCHIVE:
            return [f"next: podman load -i {reference.location}"]
        case Transport.OCI:
            return [f"next: skopeo copy {destination} docker://REGISTRY/NAME"]
        case _:
            return []


build.__doc__ = f"{build.__doc__}\n{_BUILD_HELP}"
