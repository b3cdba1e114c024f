"""The data's way from traces to an image, in order."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.baseline_parts import parts_of
from slimtrace.builder.closure.closure import Seed, expand
from slimtrace.builder.closure.need import RunEnvironment
from slimtrace.builder.closure.rules import rules_of
from slimtrace.builder.config.debug_image import debug_reference, find_busybox, with_busybox
from slimtrace.builder.config.image_config import image_config
from slimtrace.builder.config.user import choose_user
from slimtrace.builder.edit import as_traced
from slimtrace.builder.full_image import full_image
from slimtrace.builder.images.documents import make_image
from slimtrace.builder.images.reference import Transport, parse_reference
from slimtrace.builder.images.write.destination import make_destination
from slimtrace.builder.images.write.layer import write_layer
from slimtrace.builder.jlink.replace import link_java
from slimtrace.builder.model import Reason
from slimtrace.builder.option_checks import check_options
from slimtrace.builder.packages.write.package_metadata import add_package_metadata
from slimtrace.builder.policy.access import check_access, grant_read
from slimtrace.builder.policy.app_writes import (
    files_changed,
    folders_written,
    give_folders,
    warn_of_writes,
)
from slimtrace.builder.policy.baseline.baseline import add_baseline
from slimtrace.builder.policy.baseline.baseline_files import BaselineContext, baseline_files
from slimtrace.builder.policy.bytecode import in_place_of_sources, without_sources
from slimtrace.builder.policy.healthcheck import warn_of_healthcheck
from slimtrace.builder.policy.secrets import find_secrets, leave_out_secrets
from slimtrace.builder.policy.skeleton import add_skeleton
from slimtrace.builder.report import BuildReport, WrittenImage, kept_totals
from slimtrace.builder.root.contents import contents
from slimtrace.builder.sbom.checksums import Checksums
from slimtrace.builder.sbom.embed import embed_sboms
from slimtrace.builder.sbom.sbom_files import check_sboms, facts_of, sboms_of, write_sboms
from slimtrace.builder.selection.evidence import pick, settle
from slimtrace.builder.selection.globs import compile_glob, exclude, include
from slimtrace.builder.selection.process_filter import attribute
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.config.user import ImageUser
    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.images.write.destination import Destination
    from slimtrace.builder.model import Entry, Image, ImageConfig, Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.sbom.sbom_files import Sbom
    from slimtrace.builder.services import Rerun
    from slimtrace.tracer.trace.trace import Trace


def build(traces: list[str], destination: str, options: BuildOptions, rerun: Rerun) -> BuildReport:
    """Build the slim image of these traces, write it, and report.

    :raises SlimtraceError: as :func:`make` does.
    """
    return reported(make(traces, destination, options, rerun))


class BuildResult(NamedTuple):
    """What was built, and of which full image; ``debug`` is the second image."""

    image: Image
    destination: str
    selection: Selection
    root: Root
    sboms: tuple[Sbom, ...] = ()
    debug: WrittenImage | None = None


def reported(made: BuildResult) -> BuildReport:
    """What was built beside what there was, which is counted now."""
    kept = kept_totals(made.selection)
    return BuildReport(
        *(made.image, made.destination, made.selection, kept, made.root.totals()),
        *(made.sboms, made.debug),
    )


class BuildPlan(NamedTuple):
    """What is to be built, of which full image."""

    selection: Selection
    config: ImageConfig
    root: Root
    warnings: tuple[str, ...]

    def image(self, folder: str, read: Callable[[Entry], Iterator[bytes]] = contents) -> Image:
        """Write the layer into a folder, and say which image that gives.

        :param read: as :func:`write_layer` takes it.
        :raises SlimtraceError: it cannot be written.
        """
        return make_image(write_layer(self.selection.entries.values(), folder, read), self.config)

    def with_busybox(self) -> BuildPlan:
        """The same for debugging.

        :raises SlimtraceError: there is no busybox for it.
        """
        program = find_busybox(self.config.architecture)
        selection, config = with_busybox(self.selection, self.config, program)
        return self._replace(selection=selection, config=config)


def plan(trace: Trace, options: BuildOptions, rerun: Rerun | None = None) -> BuildPlan:
    """What ``build`` makes of a trace.

    :param rerun: as :func:`select` takes it.
    :raises SlimtraceError: the full image cannot be read, or files changed since the run.
    """
    root, base, warnings = full_image(trace, options.image)
    user = choose_user(trace, root, options)
    selection = select(trace, root, options, user, rerun)
    config = image_config(trace, selection, user.ids, options, base)
    selection = warn_of_healthcheck(selection, root, config)
    selection = embed_sboms(selection, options.embed_sbom, root, config, Checksums())
    return BuildPlan(selection, config, root, warnings)


def make(
    traces: list[str],
    destination: str,
    options: BuildOptions,
    rerun: Rerun,
    healed: Collection[str] = (),
) -> BuildResult:
    """Build the slim image of these traces and write it, and its SBOMs.

    :param rerun: runs jlink in the full image.
    :param healed: paths that a verification adds to those of the traces.
    :raises SlimtraceError: a trace or the full image cannot be read, files changed since the
        run, or the image or an SBOM cannot be written.
    """
    check_options(options)
    reference = parse_reference(destination, "write to").with_tag(options.tag)
    to = make_destination(reference)
    to.prepare()
    aside = _aside(reference) if options.debug else None
    check_sboms(options)
    trace = read_trace(traces)
    trace = replace(trace, healed=tuple(sorted({*trace.healed, *healed})))
    planned = plan(trace, options, rerun)
    selection, root = planned.selection, planned.root
    inspected = None if aside is None else planned.with_busybox()
    sums = Checksums()
    with tempfile.TemporaryDirectory(prefix=".slimtrace-", dir=to.work_folder()) as folder:
        image = planned.image(folder, sums.reading if options.sbom else contents)
        sboms: list[Sbom] = []
        if options.sbom:
            facts = facts_of(image, destination, options.tag, selection.entries, root, sums)
            sboms = sboms_of(facts, options)
        to.write(image, selection.entries.values())
    debug = None if aside is None or inspected is None else _write(inspected, aside)
    write_sboms(sboms)
    if sboms and reference.transport is Transport.REGISTRY:
        from slimtrace.builder.sbom.referrer import attach  # noqa: PLC0415 -- ssl takes its time

        sboms = attach(image, destination, sboms)
    warnings = (*planned.warnings, *selection.warnings, *to.warnings)
    return BuildResult(
        image, str(to), replace(selection, warnings=warnings), root, (*sboms,), debug
    )


def _aside(reference: ImageReference) -> Destination:
    to = make_destination(debug_reference(reference))
    to.prepare()
    return to


def _write(planned: BuildPlan, to: Destination) -> WrittenImage:
    with tempfile.TemporaryDirectory(prefix=".slimtrace-", dir=to.work_folder()) as folder:
        image = planned.image(folder)
        to.write(image, planned.selection.entries.values())
    return WrittenImage(image, str(to))


def select(
    trace: Trace,
    root: Root,
    options: BuildOptions,
    user: ImageUser | None = None,
    rerun: Rerun | None = None,
) -> Selection:
    """What of the full image goes into the slim one.

    :param user: the image's; None for the one that :func:`choose_user` chooses.
    :param rerun: runs jlink in the full image; ``options.jlink`` needs it.
    :raises SlimtraceError: files changed since the run, or one cannot be read.
    """
    user = user or choose_user(trace, root, options)
    included = include(root, options.include)
    globs = tuple(compile_glob(root, pattern) for pattern in options.include)
    attributed = attribute(trace, options.drop_process, options.only_process, options.default_run)
    trace = attributed.trace
    picked = pick(trace, root, globs, allow_changed=options.allow_changed)
    written = folders_written(trace, root)
    healed = [Seed(path, Reason.HEALED, load=True, execute=True) for path in trace.healed]
    parts = parts_of(options)
    baseline = baseline_files(BaselineContext(trace, root, options.all_zones), parts)
    wanted = (*picked.wanted, *written.values(), *included.wanted, *healed, *baseline)
    rules = rules_of(options.keep, options.without_rules)
    expanded = partial(expand, root, wanted, RunEnvironment.of(trace.runs))
    selection = expanded(rules)
    if options.jlink:
        if rerun is None:
            raise ValueError("options.jlink needs rerun")
        selection = link_java(
            selection, trace, root, options, rerun, lambda fit: expanded(fit(rules))
        )
    picked = replace(picked, dropped=(*attributed.dropped, *picked.dropped))
    selection = settle(selection, picked, (*attributed.warnings, *included.warnings))
    selection = as_traced(selection, picked.directories, live=root.root == "/")
    selection = add_baseline(selection, root, parts, user.ids)
    for step in _policies(trace, user.ids, root, options, written):
        selection = step(selection)
    warnings = () if user.warning is None else (user.warning,)
    return replace(selection, warnings=(*selection.warnings, *warnings))


def _policies(
    trace: Trace,
    user: tuple[int, int],
    root: Root,
    options: BuildOptions,
    written: Collection[str],
) -> list[Callable[[Selection], Selection]]:
    unwanted = tuple(compile_glob(root, pattern) for pattern in options.exclude)
    allowed = [compile_glob(root, pattern) for pattern in options.allow_secret]

    changed = (*written, *files_changed(trace, root))

    def without_secrets(selection: Selection) -> Selection:
        secrets = find_secrets(root, selection)
        return leave_out_secrets(
            selection, secrets, lambda path: any(glob.matches(path) for glob in allowed)
        )

    def opened(selection: Selection) -> Selection:
        if options.grant_read:
            selection = grant_read(selection, *user, find_secrets(root, selection))
        if options.grant_write:
            selection = give_folders(selection, written, user)
        return warn_of_writes(check_access(selection, *user), changed, user)

    def is_unwanted(path: str) -> bool:
        return any(glob.matches(path) for glob in unwanted)

    def with_metadata(selection: Selection) -> Selection:
        if not options.package_metadata:
            return selection
        return add_package_metadata(selection, root, is_unwanted)

    def compiled(selection: Selection) -> Selection:
        if options.python_sources:
            return selection
        return without_sources(selection, trace, root, is_unwanted)

    return [
        compiled,
        with_metadata,
        lambda selection: exclude(selection, unwanted),
        without_secrets,
        lambda selection: add_skeleton(selection, root),
        opened,
        lambda selection: selection if options.python_sources else in_place_of_sources(selection),
    ]
