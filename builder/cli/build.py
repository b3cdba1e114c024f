"""The command ``build``: parse, call one function, print."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import typer

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.cli import shared_options as shared
from slimtrace.builder.cli.option_values import (
    parse_argv,
    parse_sboms,
    read_source_date_epoch,
    split_names,
)
from slimtrace.builder.model import Keep, Zones
from slimtrace.builder.option_checks import check_options
from slimtrace.tracer.cli import options as traced
from slimtrace.tracer.console import say, say_lines, warn
from slimtrace.tracer.registry_access import choose_registry_access
from slimtrace.tracer.text import escape, format_count

if TYPE_CHECKING:
    from slimtrace.builder.report import BuildReport, WrittenImage
    from slimtrace.builder.sbom.sbom_files import Sbom
    from slimtrace.builder.services import Services

_BUILD_HELP = """
Examples:

  slimtrace build slimtrace.trace -o app.tar && podman load -i app.tar

  slimtrace build idle.trace busy.trace -o oci:app:v1 --json

  slimtrace build slimtrace.trace -o app.tar --include '/usr/share/zoneinfo/**' --user 65532:65532

  slimtrace build app.trace -o app.tar --sbom spdx app.spdx.json --sbom cyclonedx app.cdx.json

  slimtrace build app.trace -o app.tar --default-run 2 --drop-process curl --drop-process '*pytest*'
"""


_DOCKERFILE = (
    "the tree has no configuration; these lines of a Dockerfile make an image with it "
    '(the stage in which slimtrace ran is called "build" here):'
)


def build(
    context: typer.Context,
    traces: shared.Traces,
    output: shared.ImageOutput,
    image: shared.FullImageReference = None,
    tls_verify: traced.TlsVerify = None,
    authfile: traced.Authfile = None,
    include: shared.Include = None,
    exclude: shared.Exclude = None,
    drop_process: shared.DropProcess = None,
    only_process: shared.OnlyProcess = None,
    strict: shared.Strict = False,
    keep: shared.KeepLevel = Keep.APP,
    without_rule: shared.WithoutRule = None,
    jlink: shared.Jlink = False,
    jlink_modules: shared.JlinkModules = None,
    allow_secret: shared.AllowSecret = None,
    user: shared.ImageUserOption = None,
    grant_read: shared.GrantRead = False,
    grant_write: shared.GrantWrite = False,
    allow_changed: shared.AllowChanged = False,
    allow_failed: shared.AllowFailed = False,
    env: shared.ImageEnv = None,
    entrypoint: shared.ImageEntrypoint = None,
    cmd: shared.Cmd = None,
    default_run: shared.DefaultRun = 1,
    workdir: shared.ImageWorkdir = None,
    stop_signal: shared.ImageStopSignal = None,
    expose: shared.Expose = None,
    volume: shared.ImageVolume = None,
    label: shared.Label = None,
    no_healthcheck: shared.NoHealthcheck = False,
    no_baseline: shared.NoBaseline = False,
    tzdata: shared.Tzdata = Zones.IN_USE,
    debug: shared.Debug = False,
    no_python_sources: shared.NoPythonSources = False,
    no_package_metadata: shared.NoPackageMetadata = False,
    sbom: shared.Sbom = None,
    embed_sbom: shared.EmbedSbom = None,
    tag: shared.Tag = None,
    trust: shared.Trust = False,
    json: shared.Json = False,
) -> None:
    """Build an image with only the files that the app needs."""
    from slimtrace.builder.images.read.image_search import add_transport  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.pipeline import build as build_image  # noqa: PLC0415

    choose_registry_access(tls_verify, authfile)
    options = BuildOptions(
        image=add_transport(image),
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        drop_process=tuple(drop_process or ()),
        only_process=tuple(only_process or ()),
        strict=strict,
        keep=keep,
        without_rules=tuple(without_rule or ()),
        jlink=jlink or bool(jlink_modules),
        jlink_modules=split_names(jlink_modules or ()),
        allow_secret=tuple(allow_secret or ()),
        user=user,
        grant_read=grant_read,
        grant_write=grant_write,
        allow_changed=allow_changed,
        allow_failed=allow_failed,
        env=tuple(env or ()),
        entrypoint=parse_argv("--entrypoint", entrypoint),
        cmd=parse_argv("--cmd", cmd),
        default_run=default_run,
        workdir=workdir,
        stop_signal=stop_signal,
        expose=tuple(expose or ()),
        volumes=tuple(volume or ()),
        labels=tuple(label or ()),
        healthcheck=not no_healthcheck,
        baseline=not no_baseline,
        all_zones=tzdata is Zones.ALL,
        debug=debug,
        python_sources=not no_python_sources,
        package_metadata=not no_package_metadata,
        sbom=parse_sboms(sbom or ()),
        embed_sbom=tuple(sbom_format.value for sbom_format in embed_sbom or ()),
        tag=tag,
        source_date_epoch=read_source_date_epoch(),
    )
    services: Services = context.obj
    check_options(options)
    if options.jlink:
        from slimtrace.builder.verify.java_modules import record_modules  # noqa: PLC0415 -- for Java alone

        record_modules(traces, options, services.rerun, trust=trust)
    report = build_image(traces, output, options, services.rerun)
    if json:
        print(orjson.dumps(report.document(), option=orjson.OPT_INDENT_2).decode())
        return
    print_build(report)
    print_run_command(report)


def print_build(report: BuildReport) -> None:
    """Print what was built, for people, and what it is likely to lack."""
    from slimtrace.builder.closure.rule import LimitCaution  # noqa: PLC0415 -- --help pays nothing

    shown = {each.path for each in report.likely_omissions}
    for warning in report.selection.warnings:
        if not (isinstance(warning, LimitCaution) and warning.limit.folder in shown):
            warn(warning)
    for line in _summary_lines(report):
        say(line)
    if dockerfile := report.dockerfile():
        say(_DOCKERFILE)
        say_lines(dockerfile)
    for line in _omission_lines(report):
        say(line)


def _omission_lines(report: BuildReport) -> list[str]:
    """Make a line for each of the likeliest; the last one says how many more there are."""
    lines = [
        f"may be lacking ({each.amount}, {escape(each.why)}): {each.option}"
        for each in report.likely_omissions
    ]
    if more := len(report.omissions) - len(lines):
        lines[-1] += f"; {more} more: slimtrace suggest"
    return lines


def _summary_lines(report: BuildReport) -> list[str]:
    from rich.filesize import decimal  # noqa: PLC0415 -- --help pays nothing

    kept, full = report.kept_of_full, report.full
    image = report.written.image
    layer = image.layer
    sizes = f"{decimal(layer.size)} compressed, {decimal(layer.uncompressed)} unpacked"
    files = f"{kept.files:,} of {format_count(full.files, 'file')}"
    return [
        *report.selection.notes,
        f"kept {files}, {decimal(kept.size)} of {decimal(full.size)}",
        _wrote(report.written, sizes),
        f"digest {image.digest}",
        *map(_sbom_line, report.sboms),
        *_debug_lines(report),
    ]


def _wrote(written: WrittenImage, sizes: str) -> str:
    name = written.reference.name
    is_named = name is not None and not written.destination.endswith(name)
    return f"wrote {written.destination}{f' ({name})' if is_named else ''}: {sizes}"


def _sbom_line(sbom: Sbom) -> str:
    attached = f", attached to the image as {sbom.attached}" if sbom.attached else ""
    return f"wrote {sbom.path}{attached}"


def _debug_lines(report: BuildReport) -> list[str]:
    if report.debug is None:
        return []
    return [f"wrote {report.debug.destination}, with busybox: {report.shell_command}"]


def print_run_command(report: BuildReport) -> None:
    """Print how to run the image: the last line of a build."""
    say(f"next: {report.run_command}")


build.__doc__ = f"{build.__doc__}\n{_BUILD_HELP}"
