"""The command ``slim``: run, build and verify in one go, with the options of the three."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.cli import shared_options as shared
from slimtrace.builder.cli.build import print_build, print_run_command
from slimtrace.builder.cli.option_values import (
    SbomCommand,
    parse_argv,
    parse_sboms,
    read_source_date_epoch,
    split_names,
)
from slimtrace.builder.cli.verify import print_verdict
from slimtrace.builder.model import Keep, Zones
from slimtrace.builder.option_checks import check_globs, check_options
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.cli import options as traced
from slimtrace.tracer.cli.drive_command import DriveCommand
from slimtrace.tracer.cli.run import run
from slimtrace.tracer.console import warn
from slimtrace.tracer.errors import SlimtraceError, UsageError
from slimtrace.tracer.registry_access import choose_registry_access
from slimtrace.tracer.rerun_options import RerunOptions, VolumeMode
from slimtrace.tracer.text import replace_surrogates
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.pipeline import BuildResult
    from slimtrace.builder.services import Services
    from slimtrace.builder.verify.named_files import NamedFile
    from slimtrace.builder.verify.verdict import Verdict
    from slimtrace.tracer.trace.trace import Run

_SLIM_HELP = """
Examples:

  slimtrace slim -o app.tar --ready http://127.0.0.1:8080/ --http-get /users -- python app.py

  slimtrace slim -o oci:app:v1 --image oci:./full --exec 'pytest tests/integration' --read-only

The options are those of run, build and verify. --env sets variables for the runs, not in the image.
--user sets the user of the slim image, and with --image also that of the run. --workdir is the
run's with --image, and the slim image's without.

Exit status: 0 built and verified; 1 built but not verified, or a driver failed; that of run if
COMMAND could not be traced; 125 failure.
"""


class SlimCommand(DriveCommand, SbomCommand):
    """The command, with the options of ``run`` and of ``build``."""


def slim(
    context: typer.Context,
    output: shared.ImageOutput,
    command: traced.Command = None,
    trace: Annotated[
        str | None,
        typer.Option(
            "--trace",
            metavar="TRACE",
            help="Keep the trace here, for later builds. (default: beside DEST, as "
            "NAME.slim.trace, replacing the one of the slim before)",
        ),
    ] = None,
    no_heal: Annotated[
        bool, typer.Option("--no-heal", help="Report missing files, but do not add them.")
    ] = False,
    append: traced.Append = False,
    force: traced.Force = False,
    no_clobber: traced.NoClobber = False,
    ready: traced.Ready = None,
    ready_status: traced.ReadyStatus = None,
    ready_count: traced.ReadyCount = None,
    ready_timeout: traced.ReadyTimeout = traced.DEFAULT_READY_TIMEOUT_SECONDS,
    http_get: traced.HttpGet = None,
    http: traced.Http = None,
    http_file: traced.HttpFile = None,
    openapi: traced.OpenApi = None,
    replay: traced.Replay = None,
    replay_unsafe: traced.ReplayUnsafe = False,
    crawl: traced.Crawl = None,
    http_header: traced.HttpHeader = None,
    http_status: traced.HttpStatus = None,
    exec_: traced.Exec = None,
    exec_timeout: traced.ExecTimeout = traced.DEFAULT_EXEC_TIMEOUT_SECONDS,
    stop_after: traced.StopAfter = None,
    engine: traced.Engine = "auto",
    syscalls: traced.Syscalls = "path",
    stop_signal: traced.StopSignal = None,
    stop_grace: traced.StopGrace = traced.DEFAULT_STOP_GRACE_SECONDS,
    image: traced.RunImage = None,
    platform: traced.Platform = None,
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
    security_opt: traced.SecurityOpt = None,
    exec_in: traced.ExecIn = None,
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
    grant_read: shared.GrantRead = False,
    grant_write: shared.GrantWrite = False,
    allow_changed: shared.AllowChanged = False,
    allow_failed: shared.AllowFailed = False,
    cmd: shared.Cmd = None,
    default_run: shared.DefaultRun = 1,
    expose: shared.Expose = None,
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
    ignore: shared.Ignore = None,
    read_only: shared.ReadOnly = False,
    cap_drop: shared.CapDrop = None,
    cap_add: traced.CapAdd = None,
    trust: shared.Trust = False,
    json: shared.Json = False,
) -> None:
    """Run COMMAND, build its slim image, verify and heal it."""
    from slimtrace.builder.images.read.image_search import add_transport  # noqa: PLC0415 -- --help pays nothing

    choose_registry_access(tls_verify, authfile)
    image = add_transport(image)
    build_options = BuildOptions(  # the full image is where the run takes place
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
        cmd=parse_argv("--cmd", cmd),
        default_run=default_run,
        workdir=None if image is not None else workdir,
        expose=tuple(expose or ()),
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
    changes = RerunOptions.from_command_line(
        env, volume, volumes, cap_drop, cap_add, read_only=read_only
    )
    services: Services = context.obj
    services.check_rerun(changes, None)
    reference = _check_build(output, build_options, image)
    check_globs("--ignore", ignore or ())
    if default_run > 1 and not append:
        raise UsageError(
            f"cannot use --default-run {default_run}: the trace will have 1 run",
            "add --append to a trace that has more",
        )
    if trace is None:
        trace = _make_trace_path(reference)
        force = force or not (append or no_clobber)
    try:
        run(
            context,
            command=command,
            output=trace,
            append=append,
            force=force,
            no_clobber=no_clobber,
            ready=ready,
            ready_status=ready_status,
            ready_count=ready_count,
            ready_timeout=ready_timeout,
            http_get=http_get,
            http=http,
            http_file=http_file,
            openapi=openapi,
            replay=replay,
            replay_unsafe=replay_unsafe,
            crawl=crawl,
            http_header=http_header,
            http_status=http_status,
            exec_=exec_,
            exec_timeout=exec_timeout,
            stop_after=stop_after,
            engine=engine,
            syscalls=syscalls,
            stop_signal=stop_signal,
            stop_grace=stop_grace,
            image=image,
            platform=platform,
            volume=volume,
            volumes=volumes,
            env=env if image is not None else None,
            workdir=workdir if image is not None else None,
            user=user if image is not None else None,
            entrypoint=entrypoint,
            network=network,
            hostname=hostname,
            init=init,
            security_opt=security_opt,
            exec_in=exec_in,
            cap_add=cap_add if image is not None else None,
        )
    except typer.Exit:
        last = read_trace(trace).runs[-1]
        if not allow_failed:
            if last.drive_result is not None and last.drive_result.failure is not None:
                raise
            _check_end(last, trace)
    from slimtrace.builder.verify.named_files import find_named_files  # noqa: PLC0415 -- --help pays nothing

    built, verdict = _build_verified(
        context,
        trace,
        output,
        build_options,
        changes,
        heal=not no_heal,
        ignore=tuple(ignore or ()),
        trust=trust,
    )
    _print(
        built,
        verdict,
        find_named_files(read_trace(trace), built.root, built.selection.entries),
        json=json,
    )
    if not verdict.passed:
        fact = f"{verdict.image} was built, but not verified"
        warn(Caution(fact, f"slimtrace verify {verdict.image} --trace {trace} tries again"))
        raise typer.Exit(1)


def _check_build(output: str, options: BuildOptions, image: str | None) -> ImageReference:
    """Check the build's options before the run, which may take long; return the destination.

    :param image: the full image's reference; None for this machine.
    :raises SlimtraceError: they are not valid, or a file cannot be written.
    """
    from slimtrace.builder.config.user import find_user  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.images.write.destination import find_destination, make_destination  # noqa: PLC0415
    from slimtrace.builder.root.root import Root  # noqa: PLC0415
    from slimtrace.builder.sbom.sbom_files import check_sboms  # noqa: PLC0415

    check_options(options)
    check_sboms(options)
    if image is None and options.user is not None:
        find_user(Root("/"), options.user)
    reference = find_destination(output, image).with_tag(options.tag)
    make_destination(reference).prepare()
    return reference


def _make_trace_path(reference: ImageReference) -> str:
    """The trace beside a destination; in this directory for one in a store or registry."""
    if reference.location:
        path = os.path.normpath(reference.location).removesuffix(".tar")
        path = os.path.abspath(path) if os.path.basename(path) in (".", "..") else path
        return f"{path}.slim.trace"
    name = (reference.name or "").rpartition("/")[2].partition("@")[0].partition(":")[0]
    return f"{name}.slim.trace"


def _check_end(last: Run, trace: str) -> None:
    """Check how the app ended.

    :param trace: the path of its trace.
    :raises SlimtraceError: the app failed by itself.
    """
    if last.failure is not None:
        raise SlimtraceError(
            f"cannot slim {last.command[0]}: it failed: {last.failure}",
            f"if it is meant to end so, add --allow-failed; its trace is {trace}",
        ) from None


def _build_verified(
    context: typer.Context,
    trace: str,
    output: str,
    build_options: BuildOptions,
    changes: RerunOptions,
    *,
    heal: bool,
    ignore: tuple[str, ...],
    trust: bool,
) -> tuple[BuildResult, Verdict]:
    from slimtrace.builder.verify.verify import VerifyOptions, build_and_verify  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.tracer.sandbox.rootless import become_root  # noqa: PLC0415

    services: Services = context.obj
    if build_options.jlink:
        from slimtrace.builder.verify.java_modules import record_modules  # noqa: PLC0415 -- for Java alone

        record_modules(
            *([trace], build_options, services.rerun, changes.env, changes.volumes), trust=trust
        )
    become_root()  # not before: runs on this machine are repeated without it
    options = VerifyOptions(heal, ignore, trust=trust, changes=changes)
    return build_and_verify([trace], output, build_options, options, services.rerun)


def _print(built: BuildResult, verdict: Verdict, named: Sequence[NamedFile], *, json: bool) -> None:
    from slimtrace.builder.pipeline import make_report  # noqa: PLC0415 -- --help pays nothing
    from slimtrace.builder.verify.named_files import describe_named_files  # noqa: PLC0415

    report = make_report(built)
    if json:
        document = {
            **report.document(),
            "verify": verdict.document(),
            "named": [
                {"url": replace_surrogates(each.target), "path": replace_surrogates(each.path)}
                for each in named
            ],
        }
        print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
        return
    print_build(report)
    if named:
        warn(describe_named_files(named))
    print_verdict(verdict)
    if verdict.passed:
        print_run_command(report)


slim.__doc__ = f"{slim.__doc__}\n{_SLIM_HELP}"
