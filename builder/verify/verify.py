"""Repeats traced runs in a slim image, compares, and heals the image by adding missing files."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from slimtrace.builder.config.image_config import find_default_run
from slimtrace.builder.full_image import open_full_image
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.interrupt import StoppedBySignal, raise_on_signals
from slimtrace.builder.pipeline import BuildResult, make
from slimtrace.builder.root.root import Root
from slimtrace.builder.selection.globs import compile_glob
from slimtrace.builder.verify.absent_names import link_absent_names
from slimtrace.builder.verify.coverage import find_unrepeated
from slimtrace.builder.verify.foreign_runs import check_made_here
from slimtrace.builder.verify.healing import (
    HealedBuild,
    check_healing,
    choose_kept,
    heal,
    remove_own_copy,
)
from slimtrace.builder.verify.image_build import read_build
from slimtrace.builder.verify.missing_files import find_missing
from slimtrace.builder.verify.restrictions import explain_restrictions
from slimtrace.builder.verify.run_outcome import compare, record_failed_start
from slimtrace.builder.verify.verdict import Verdict
from slimtrace.tracer.console import detail
from slimtrace.tracer.errors import (
    CannotExecuteError,
    CommandNotFoundError,
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
    from slimtrace.builder.services import Rerun
    from slimtrace.builder.verify.run_outcome import RunOutcome
    from slimtrace.tracer.trace.trace import Run


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
        check_healing(image, opened.source)
    kept = choose_kept(opened, build, full, is_healed=options.heal)
    build_options = replace(build.options, image=options.full)
    again = HealedBuild(traces, build_options, rerun, kept)
    verification = _Verification(full, again, options, build.default_run)
    try:
        verdict = verification.heal(verification.examine(opened, trace))
    finally:
        if opened.root != full.root:
            remove_own_copy(opened)
    if verdict.is_rebuilt:
        again.replace_image(opened.source, verdict.healed)
    return replace(verdict, image=image)


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
    again = HealedBuild(traces, build_options, rerun)
    verification = _Verification(full, again, options, build_options.default_run)
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
    :ivar build: how the slim image is built.
    :ivar default_run: the number of the run that the image's own config starts; None for none.
    """

    full: Root
    build: HealedBuild
    options: VerifyOptions
    default_run: int | None

    def heal(self, verdict: Verdict) -> Verdict:
        """Heal the image, if that was asked for; see :func:`healing.heal`."""
        if not self.options.heal:
            return verdict
        return heal(verdict, self.examine_built, may_lack_runs=bool(self.build.kept))

    def examine_built(self, healed: Sequence[str] = ()) -> Verdict:
        """Build a temporary image and repeat all runs in it.

        :param healed: paths to add to those of the traces.
        """
        with self.build.open_temporary(healed) as (opened, selection):
            return self.examine(opened, read_trace(self.build.traces), selection)

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
        default = find_default_run(trace, self.build.options.default_run)
        with make_temporary_folder() as folder, make_temporary_folder(find_disk_folder()) as copies:
            changes = replace(self.options.changes, copies_folder=copies)
            for number, run in enumerate(trace.runs, start=1):
                path = os.path.join(folder, f"{number}.trace")
                rerun = partial(
                    self.build.rerun,
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
        missing, left_out = self.build.split_missing(found, self.full, trace, selection)
        verdict = Verdict(
            opened.source,
            tuple(outcomes),
            find_unrepeated(trace),
            missing=missing,
            left_out=left_out,
        )
        if verdict.differences:
            declared = opened.run_config.get("Volumes") or ()
            hints = explain_restrictions(trace, self.full, self.options.changes, declared)
            verdict = replace(verdict, hints=tuple(hints))
        return verdict, verified


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
