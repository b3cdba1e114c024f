"""Repeats traced runs in a slim image, compares, and heals the image by adding missing files."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from slimtrace.builder.config.image_config import find_default_run
from slimtrace.builder.full_image import open_full_image
from slimtrace.builder.images.read.cache_inventory import remove_image
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.read.image_cache import was_unpacked_here
from slimtrace.builder.images.read.image_tag import find_tag
from slimtrace.builder.images.reference import Syntax, Transport, parse_reference
from slimtrace.builder.images.write.destination import parse_destination
from slimtrace.builder.interrupt import StoppedBySignal, raise_on_signals
from slimtrace.builder.pipeline import BuildResult, make, select
from slimtrace.builder.root.root import Root
from slimtrace.builder.selection.globs import compile_glob
from slimtrace.builder.verify.absent_names import link_absent_names
from slimtrace.builder.verify.compare import compare, record_failed_start
from slimtrace.builder.verify.coverage import find_unrepeated
from slimtrace.builder.verify.foreign_runs import check_made_here
from slimtrace.builder.verify.image_build import list_files, read_build
from slimtrace.builder.verify.missing_files import explain_omissions, find_missing
from slimtrace.builder.verify.restrictions import explain_restrictions
from slimtrace.builder.verify.verdict import Verdict, is_better
from slimtrace.tracer.console import detail, say
from slimtrace.tracer.errors import (
    CannotExecuteError,
    CommandNotFoundError,
    UsageError,
)
from slimtrace.tracer.rerun_options import RerunOptions
from slimtrace.tracer.temporary_folder import find_disk_folder, make_temporary_folder
from slimtrace.tracer.trace.append import append_healed
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.trace import Trace, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.builder.model import Selection
    from slimtrace.builder.selection.globs import Glob
    from slimtrace.builder.services import Rerun
    from slimtrace.builder.verify.compare import RunOutcome
    from slimtrace.tracer.trace.trace import Run

_MAX_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """Options of ``verify``.

    :ivar heal: whether to add missing files and build the image again.
    :ivar ignore: globs of files that may be missing.
    :ivar changes: how the repeated runs differ from the traced ones.
    :ivar trust: whether to repeat runs of others, too.
    :ivar full: where the full image is now; None for where it was when traced.
    """

    heal: bool = False
    ignore: tuple[str, ...] = ()
    full: str | None = None
    trust: bool = False
    changes: RerunOptions = field(default_factory=RerunOptions)


def verify(image: str, traces: Sequence[str], options: VerifyOptions, rerun: Rerun) -> Verdict:
    """Repeat the traces' runs in the image, and compare them with the traced ones.

    :param image: a reference that ``build`` writes and ``run --image`` reads.
    :raises SlimtraceError: the traces are of others; the image, a trace or the full image cannot be
        read; with ``heal``, the image cannot be built again.
    """
    with raise_on_signals(image):
        return _verify(image, traces, options, rerun)


def _verify(image: str, traces: Sequence[str], options: VerifyOptions, rerun: Rerun) -> Verdict:
    trace = read_trace(traces)
    check_made_here(trace.runs, trust=options.trust)
    full = open_full_image(trace, options.full).root
    opened = open_image(image)
    build = read_build(opened, trace)
    if options.heal:
        _check_healing(image, opened.source)
    kept: tuple[str, ...] = ()
    if build.note is not None and options.heal:
        kept = list_files(opened, full)
        say(f"{build.note}: healing keeps its files and adds to them, {build.healing}")
    elif build.note is not None and opened.config:
        say(build.note)
    build_options = replace(build.options, image=options.full)
    verification = _Verification(
        full, traces, build_options, options, rerun, default_run=build.default_run, kept=kept
    )
    try:
        verdict = verification.heal(verification.examine(opened, trace))
    finally:
        if opened.root != full.root:
            _remove_own_copy(opened)
    if verdict.is_rebuilt:
        if verdict.healed:
            append_healed(traces[0], verdict.healed)
        _build_again(opened.source, traces, build_options, rerun, kept)
    return replace(verdict, image=image)


def _remove_own_copy(opened: FullImage) -> None:
    """Remove a slim image that only this verification needed unpacked."""
    if opened.digest is not None and was_unpacked_here(opened.digest):
        remove_image(opened.digest)


def _build_again(
    image: str,
    traces: Sequence[str],
    build_options: BuildOptions,
    rerun: Rerun,
    kept: tuple[str, ...],
) -> None:
    """Replace an image by the healed one, under the same name.

    :param image: its reference.
    :param kept: paths to keep besides those of the traces.
    """
    reference = parse_reference(image)
    tag = find_tag(reference)
    if tag is not None and reference.transport.syntax is Syntax.PATH_AND_TAG:
        image, tag = f"{image}:{tag}", None
    make([*traces], image, replace(build_options, tag=tag), rerun, kept)


def build_and_verify(
    traces: Sequence[str],
    destination: str,
    build_options: BuildOptions,
    options: VerifyOptions,
    rerun: Rerun,
) -> tuple[BuildResult, Verdict]:
    """Build the slim image of these traces, after verifying and healing temporary images of it.

    :raises SlimtraceError: as :func:`verify` does, and where the destination cannot be written.
    """
    trace = read_trace(traces)
    check_made_here(trace.runs, trust=options.trust)
    full = open_full_image(trace, build_options.image).root
    verification = _Verification(
        full, traces, build_options, options, rerun, default_run=build_options.default_run
    )
    with raise_on_signals(destination):
        verdict = verification.heal(verification.examine_built())
        if verdict.healed:
            append_healed(traces[0], verdict.healed)
        built = make([*traces], destination, build_options, rerun)
        return built, replace(verdict, image=destination)


@dataclass(frozen=True, slots=True)
class _Verification:
    """The inputs of one verification.

    :ivar full: the full image.
    :ivar default_run: the number of the run that the image's own config starts; None for none.
    :ivar kept: paths that each image has beside those of the traces.
    """

    full: Root
    traces: Sequence[str]
    build_options: BuildOptions
    options: VerifyOptions
    rerun: Rerun
    default_run: int | None
    kept: tuple[str, ...] = ()

    def heal(self, verdict: Verdict) -> Verdict:
        """Add missing files and verify again, round after round, in temporary images.

        Nothing is written to the traces.

        :returns: the verdict of the last round that helped, with the paths added up to then; the
            first verdict where none helped.
        """
        if not self.options.heal:
            return verdict
        best, latest, added = verdict, verdict, dict[str, None]()
        rounds = 1
        while rounds < _MAX_ROUNDS:
            fresh = [item.path for item in latest.missing if item.path not in added]
            is_unbuilt = rounds == 1 and bool(self.kept and latest.differences)
            if not fresh and not is_unbuilt:  # the image may lack whole runs of the trace
                break
            rounds += 1
            say(f"healing {len(fresh)} missing, round {rounds}")
            added.update(dict.fromkeys(fresh))
            latest = replace(self.examine_built([*added]), healed=tuple(added))
            if is_better(latest, best):
                best = latest
        if len(best.healed) < len(added):
            useless = len(added) - len(best.healed)
            say(f"adding {useless} missing did not help: left out of the image and the trace")
        return replace(best, rounds=rounds, is_rebuilt=best is not verdict)

    def examine_built(self, healed: Sequence[str] = ()) -> Verdict:
        """Build a temporary image and repeat all runs in it.

        :param healed: paths to add to those of the traces.
        """
        options = replace(self.build_options, tag=None, sbom=(), debug=False)
        with make_temporary_folder() as folder:
            image = f"oci:{folder}/slim:latest"
            built = make([*self.traces], image, options, self.rerun, (*self.kept, *healed))
            opened = open_image(image)
            try:
                return self.examine(opened, read_trace(self.traces), built.selection)
            finally:
                _remove_own_copy(opened)

    def examine(
        self, opened: FullImage, trace: Trace, selection: Selection | None = None
    ) -> Verdict:
        """Repeat all runs in a slim image.

        The first time, directories also show names that the image lacks (:mod:`absent_names`).
        Where a run listed such a directory and all passed, the runs are repeated without them.

        :param selection: what the image was built from; None if it was not built by this command.
        """
        slim = Root(opened.root)
        with make_temporary_folder() as below:
            shown = link_absent_names(below, self.full, slim)
            verdict, verified = self._repeat_runs(opened, slim, trace, selection, below)
        if verdict.passed and any(
            path in shown for path in _find_listed_directories(self.full, verified)
        ):
            detail("repeating the runs without the names that the image lacks")
            plain, _ = self._repeat_runs(opened, slim, trace, selection, None)
            return replace(plain, left_out=verdict.left_out)
        return verdict

    def _repeat_runs(
        self,
        opened: FullImage,
        slim: Root,
        trace: Trace,
        selection: Selection | None,
        below: str | None,
    ) -> tuple[Verdict, Trace]:
        """Repeat all runs once, and give the verdict and the trace of the repeated runs.

        :param below: a tree to mount below the image, or None.
        """
        outcomes, written = [], []
        default = find_default_run(trace, self.build_options.default_run)
        with make_temporary_folder() as folder, make_temporary_folder(find_disk_folder()) as copies:
            changes = replace(self.options.changes, copies_folder=copies)
            for number, run in enumerate(trace.runs, start=1):
                path = os.path.join(folder, f"{number}.trace")
                rerun = partial(
                    self.rerun,
                    changes=changes,
                    is_default=number == self.default_run,
                    user=None if run.user == default.user else run.user,
                    below=below,
                )
                outcomes.append(_repeat_run(rerun, opened, run, path))
                if os.path.exists(path):
                    written.append(path)
            verified = read_trace(written) if written else Trace()
        ignored = [compile_glob(self.full, pattern) for pattern in self.options.ignore]
        found = find_missing(self.full, slim, trace, verified, ignored)
        if found:
            if selection is None:  # only to explain omissions; nothing is built from it
                selection = select(
                    trace,
                    self.full,
                    replace(self.build_options, allow_changed=True),
                    rerun=self.rerun,
                )
            found = explain_omissions(found, selection, self._compile_excludes())
        missing = tuple(item for item in found if item.on_purpose is None)
        left_out = tuple(item for item in found if item.on_purpose is not None)
        verdict = Verdict(
            opened.source, tuple(outcomes), missing, left_out, not_repeated=find_unrepeated(trace)
        )
        if verdict.differences:
            declared = opened.run_config.get("Volumes") or ()
            hints = explain_restrictions(trace, self.full, self.options.changes, declared)
            verdict = replace(verdict, hints=tuple(hints))
        return verdict, verified

    def _compile_excludes(self) -> list[Glob]:
        return [compile_glob(self.full, pattern) for pattern in self.build_options.exclude]


def _find_listed_directories(full: Root, verified: Trace) -> Iterator[str]:
    """The own paths of the directories that the runs listed."""
    for path in verified.paths.values():
        if Use.LIST in path.uses:
            yield full.resolve(path.path).path


def _repeat_run(
    rerun: Callable[[FullImage, Run, str], None], opened: FullImage, run: Run, path: str
) -> RunOutcome:
    try:
        rerun(opened, run, path)
    except (CannotExecuteError, CommandNotFoundError) as error:
        return record_failed_start(run, error.message)
    (now,) = read_trace(path).runs
    if now.interrupted is not None:  # the user ended it: its exit status says nothing
        raise StoppedBySignal(signal.Signals[now.interrupted])
    return compare(run, now)


def _check_healing(image: str, source: str) -> None:
    """:raises UsageError: an image in this form cannot be written again."""
    if parse_reference(source).transport is Transport.ROOTFS:
        raise UsageError(
            f"cannot heal {image}: build writes only to a new or empty folder",
            "build it with slimtrace slim, which heals, or heal an image such as app.tar",
        )
    parse_destination(source)
