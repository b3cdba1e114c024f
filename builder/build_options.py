"""What a user may say about a build."""

from __future__ import annotations

from dataclasses import dataclass

from slimtrace.builder.model import Keep


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The options of ``build``.

    :ivar include: globs of what is kept besides; ``exclude`` of what is not, and wins.
    :ivar keep: how much is kept beside what was touched; ``without_rules`` names of rules that
        are switched off.
    :ivar allow_secret: globs of secrets that are let in.
    :ivar user: the image's user, None for nobody in particular where the runs needed no root.
    :ivar grant_read: open the copies where the image's user could not read them.
    :ivar grant_write: give the folders in which the run made things to the image's user.
    :ivar allow_changed: build from files that are no longer as the run saw them.
    :ivar env: ``NAME=VALUE`` words over the full image's and the run's environment.
    :ivar entrypoint: None for the traced command's first word; ``cmd`` None for the rest.
    :ivar workdir: None for the run's; ``stop_signal`` None for the run's or the full image's.
    :ivar expose: ``PORT`` or ``PORT/PROTOCOL`` beside those that the app listened on.
    :ivar volumes: paths beside the full image's.
    :ivar healthcheck: whether the full image's is taken over.
    :ivar baseline: whether it has what any minimal image is expected to have.
    :ivar all_zones: whether that is all time zones, or those in use.
    :ivar debug: whether a second image is built that has a shell besides.
    :ivar python_sources: whether sources are kept that no run read.
    :ivar package_metadata: whether what scanners read is added.
    :ivar tag: the image's name in its destination, None for the destination's own.
    :ivar labels: ``NAME=VALUE`` words over the full image's.
    :ivar default_run: which run the image starts, from 1.
    :ivar drop_process: globs of processes whose touches do not count; ``only_process`` of the only
        ones whose do.
    :ivar image: where the full image lies now, as ``run --image`` takes it; None for where the
        runs saw it.
    :ivar jlink: whether Java runtimes are linked of the modules that are used; ``jlink_modules``
        names of modules that are linked besides.
    :ivar sbom: formats and files of the SBOMs that are written beside the image; ``embed_sbom``
        formats of those in it.
    :ivar source_date_epoch: seconds; the image's creation time (reproducible-builds.org).
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    keep: Keep = Keep.CLOSURE
    without_rules: tuple[str, ...] = ()
    allow_secret: tuple[str, ...] = ()
    user: str | None = None
    grant_read: bool = False
    grant_write: bool = False
    allow_changed: bool = False
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
