"""The options of a build."""

from __future__ import annotations

from dataclasses import dataclass

from slimtrace.builder.model import Keep


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The options of ``build``.

    :ivar include: globs of paths to keep too.
    :ivar exclude: globs of paths to leave out; overrides ``include``.
    :ivar keep: how much to keep in addition to touched files.
    :ivar without_rules: names of disabled rules.
    :ivar allow_secret: globs of secrets that may be in the image.
    :ivar user: the image's user; None for the full image's user, or 65532 unless a run needed root.
    :ivar grant_read: make kept files readable for the image's user.
    :ivar grant_write: make the image's user the owner of directories in which the app created
        files.
    :ivar allow_changed: accept files that changed since the run.
    :ivar allow_failed: accept runs that failed.
    :ivar env: ``NAME=VALUE`` strings, which override the environment of full image and run.
    :ivar entrypoint: None for the full image's, if the run used it; else none.
    :ivar cmd: None for the traced command without the entrypoint.
    :ivar workdir: None for the run's.
    :ivar stop_signal: None for the run's or the full image's.
    :ivar expose: ``PORT`` or ``PORT/PROTOCOL``, in addition to those that the app listened on.
    :ivar volumes: paths, in addition to the full image's.
    :ivar healthcheck: whether to keep the full image's health check.
    :ivar baseline: whether to add the files that every minimal image is expected to have.
    :ivar all_zones: whether to add all time zones instead of those in use.
    :ivar debug: whether to build a second image with busybox.
    :ivar python_sources: whether to keep Python sources that no run read.
    :ivar package_metadata: whether to add the package databases that scanners read.
    :ivar tag: the image's name in its destination; None for the destination's own.
    :ivar labels: ``NAME=VALUE`` strings, which override the full image's labels.
    :ivar default_run: number of the run that the image starts, from 1.
    :ivar drop_process: globs of processes whose files are left out.
    :ivar only_process: globs of the only processes whose files are kept.
    :ivar image: the full image's present reference, as ``run --image`` takes it; None for the
        reference in the trace.
    :ivar jlink: whether to link Java runtimes with only the modules that are used.
    :ivar jlink_modules: names of modules to link too.
    :ivar sbom: formats and files of the SBOMs to write beside the image.
    :ivar embed_sbom: formats of the SBOMs to add to the image.
    :ivar strict: whether a pattern that matches nothing is an error.
    :ivar source_date_epoch: seconds; the image's creation time (reproducible-builds.org).
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keep: Keep = Keep.APP
    without_rules: tuple[str, ...] = ()
    allow_secret: tuple[str, ...] = ()
    user: str | None = None
    grant_read: bool = False
    grant_write: bool = False
    allow_changed: bool = False
    allow_failed: bool = False
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    tag: str | None = None
    labels: tuple[str, ...] = ()
    workdir: str | None = None
    stop_signal: str | None = None
    expose: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    healthcheck: bool = True
    baseline: bool = True
    all_zones: bool = False
    debug: bool = False
    python_sources: bool = True
    package_metadata: bool = True
    source_date_epoch: int | None = None
    default_run: int = 1
    drop_process: tuple[str, ...] = ()
    only_process: tuple[str, ...] = ()
    image: str | None = None
    sbom: tuple[tuple[str, str], ...] = ()
    embed_sbom: tuple[str, ...] = ()
    jlink: bool = False
    jlink_modules: tuple[str, ...] = ()
    strict: bool = False
