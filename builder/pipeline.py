"""Trace → fold → Selection → closure → policy → Layer → Image → writer.

:func:`read_trace` folds the traces of several runs into one; builder/steps.py has the steps to the
final selection; :func:`write_layer`, :func:`make_image` and a destination do the rest.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.config.debug_image import add_busybox, find_busybox, make_debug_reference
from slimtrace.builder.config.image_config import find_default_run, make_image_config
from slimtrace.builder.config.user import choose_user, explain_user_change
from slimtrace.builder.context import Context
from slimtrace.builder.failed_runs import check_failed_runs
from slimtrace.builder.full_image import become_root_for, find_source, open_full_image
from slimtrace.builder.images.default_name import add_default_name
from slimtrace.builder.images.documents import make_image
from slimtrace.builder.images.reference import Transport, find_transport
from slimtrace.builder.images.write.destination import find_destination, make_destination
from slimtrace.builder.images.write.layer import write_layer
from slimtrace.builder.model import Selection
from slimtrace.builder.option_checks import check_matches, check_options
from slimtrace.builder.policy.healthcheck import warn_of_healthcheck
from slimtrace.builder.policy.start_program import warn_of_start
from slimtrace.builder.report import BuildReport, WrittenImage, count_kept_files
from slimtrace.builder.root.contents import read_contents
from slimtrace.builder.sbom.checksums import Checksums
from slimtrace.builder.sbom.embed import embed_sboms
from slimtrace.builder.sbom.sbom_files import (
    check_sboms,
    collect_built_image,
    render_sboms,
    write_sboms,
)
from slimtrace.builder.selection.process_filter import filter_processes
from slimtrace.builder.steps import run_steps
from slimtrace.builder.suggest.omissions import find_omissions
from slimtrace.tracer.temporary_folder import make_temporary_folder
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from contextlib import AbstractContextManager

    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.config.user import ImageUser
    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.images.write.destination import Destination
    from slimtrace.builder.model import Entry, Image, ImageConfig
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.sbom.sbom_files import Sbom
    from slimtrace.builder.services import Rerun
    from slimtrace.tracer.trace.trace import Trace


def build(traces: list[str], destination: str, options: BuildOptions, rerun: Rerun) -> BuildReport:
    """Build the slim image of these traces, write it, and report.

    :raises SlimtraceError: as :func:`make` does.
    """
    return make_report(make(traces, destination, options, rerun))


class BuildResult(NamedTuple):
    """The built image and its full image.

    :ivar debug: the second image, with busybox.
    :ivar source: the full image's reference.
    """

    written: WrittenImage
    selection: Selection
    root: Root
    trace: Trace
    sboms: tuple[Sbom, ...] = ()
    debug: WrittenImage | None = None
    source: str | None = None


def make_report(made: BuildResult) -> BuildReport:
    """Make the report, count the files of the full image for it, and find what may be lacking."""
    kept = count_kept_files(made.selection)
    omissions = find_omissions(made.trace, made.root, made.selection)
    return BuildReport(
        *(made.written, made.selection, kept, made.root.totals()),
        *(made.sboms, made.debug, made.source, omissions),
    )


class BuildPlan(NamedTuple):
    """The content and configuration of the image to build, and its full image."""

    selection: Selection
    config: ImageConfig
    root: Root

    def write_image(
        self, folder: str, read: Callable[[Entry], Iterator[bytes]] = read_contents
    ) -> Image:
        """Write the layer into a folder, and make the image of it.

        :param read: as :func:`write_layer` takes it.
        :raises SlimtraceError: the layer cannot be written.
        """
        return make_image(write_layer(self.selection.entries.values(), folder, read), self.config)

    def with_busybox(self) -> BuildPlan:
        """Make the plan of the image for debugging.

        :raises SlimtraceError: this machine has no busybox for it.
        """
        program = find_busybox(self.config.architecture)
        selection, config = add_busybox(self.selection, self.config, program)
        return self._replace(selection=selection, config=config)


def plan(trace: Trace, options: BuildOptions, rerun: Rerun | None = None) -> BuildPlan:
    """Plan the image that ``build`` makes from a trace; nothing is written.

    :param rerun: as :func:`select` takes it.
    :raises SlimtraceError: the full image cannot be read, or files changed since the run.
    """
    root, base, warnings = open_full_image(trace, options.image)
    user = choose_user(trace, root, options)
    selection = select(trace, root, options, user, rerun, (*base.volumes, *options.volumes))
    config = make_image_config(trace, selection, user.ids, options, base)
    selection = warn_of_healthcheck(selection, root, config)
    selection = warn_of_start(selection, root, config)
    selection = embed_sboms(selection, options.embed_sbom, root, config, Checksums())
    note = explain_user_change(
        root, find_default_run(trace, options.default_run), user, base.user, options
    )
    notes = selection.notes if note is None else (*selection.notes, note)
    selection = replace(selection, warnings=(*warnings, *selection.warnings), notes=notes)
    return BuildPlan(selection, config, root)


def select(
    trace: Trace,
    root: Root,
    options: BuildOptions,
    user: ImageUser | None = None,
    rerun: Rerun | None = None,
    volumes: tuple[str, ...] = (),
) -> Selection:
    """Select the files of the full image that go into the slim one.

    :param user: the image's; None for the one that :func:`choose_user` chooses.
    :param rerun: runs jlink in the full image; ``options.jlink`` needs it.
    :param volumes: paths of the volumes that the image declares.
    :raises SlimtraceError: files changed since the run, or one cannot be read.
    """
    user = user or choose_user(trace, root, options)
    counted = filter_processes(
        trace, options.drop_process, options.only_process, options.default_run
    )
    start = Selection({}, counted.dropped, counted.warnings)
    selection = run_steps(start, Context(counted.trace, root, options, user.ids, rerun, volumes))
    warnings = () if user.warning is None else (user.warning,)
    return replace(selection, warnings=(*selection.warnings, *warnings))


def make(
    traces: list[str],
    destination: str,
    options: BuildOptions,
    rerun: Rerun,
    healed: Collection[str] = (),
) -> BuildResult:
    """Build the slim image of these traces, and write it and its SBOMs.

    :param rerun: runs jlink in the full image.
    :param healed: paths that a verification adds to those of the traces.
    :raises SlimtraceError: a trace or the full image cannot be read, a run failed, files changed
        since the run, or the image or an SBOM cannot be written.
    """
    check_options(options)
    check_sboms(options)
    is_typed = find_transport(destination) is not None
    if is_typed:
        _prepare(find_destination(destination, None).with_tag(options.tag))
    trace = read_trace(traces)
    source = find_source(trace, options.image)
    reference = find_destination(destination, source)
    tagged = reference.with_tag(options.tag)
    named = add_default_name(tagged, source)
    to = make_destination(named) if is_typed else _prepare(named)
    # A layout that got only a tag by default has a folder of its own for debugging.
    beside = make_debug_reference(tagged if named.transport is Transport.OCI else named)
    debug_named = add_default_name(beside, source) if options.debug else None
    to_debug = _prepare(debug_named) if debug_named else None
    check_failed_runs(traces, trace.runs, options)
    become_root_for(trace, options.image)
    trace = replace(trace, healed=tuple(sorted({*trace.healed, *healed})))
    planned = plan(trace, options, rerun)
    if options.strict:
        check_matches(planned.selection.warnings)
    debug_plan = planned.with_busybox() if options.debug else None
    selection, sums = planned.selection, Checksums()
    with _work_folder(to) as folder:
        image = planned.write_image(folder, sums.read if options.sbom else read_contents)
        sboms: list[Sbom] = []
        if options.sbom:
            entries, root = selection.entries, planned.root
            facts = collect_built_image(image, reference, options.tag, entries, root, sums)
            sboms = render_sboms(facts, options)
        to.write(image, selection.entries.values())
    debug = None
    if debug_plan and to_debug and debug_named:
        debug = _write(debug_plan, to_debug, debug_named)
    write_sboms(sboms)
    if sboms and reference.transport is Transport.REGISTRY:
        from slimtrace.builder.sbom.referrer import attach  # noqa: PLC0415 -- ssl takes its time

        sboms = attach(image, reference, sboms)
    selection = replace(selection, warnings=(*selection.warnings, *to.warnings))
    written = WrittenImage(image, str(to), named)
    return BuildResult(written, selection, planned.root, trace, (*sboms,), debug, source)


def _prepare(reference: ImageReference) -> Destination:
    to = make_destination(reference)
    to.prepare()
    return to


def _work_folder(to: Destination) -> AbstractContextManager[str]:
    return make_temporary_folder(to.work_folder(), ".slimtrace-")


def _write(planned: BuildPlan, to: Destination, reference: ImageReference) -> WrittenImage:
    with _work_folder(to) as folder:
        image = planned.write_image(folder)
        to.write(image, planned.selection.entries.values())
    return WrittenImage(image, str(to), reference)
