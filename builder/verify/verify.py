"""Run, compare, add what is missing, build again: until nothing changes."""

from __future__ import annotations

import os
import signal
import tempfile
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from slimtrace.builder.build_options import BuildOptions
from slimtrace.builder.config.image_config import default_run
from slimtrace.builder.config.provenance import identity, read_record
from slimtrace.builder.full_image import full_image
from slimtrace.builder.images.read.cache_inventory import remove_image
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.images.read.image_tag import find_tag
from slimtrace.builder.images.reference import parse_reference
from slimtrace.builder.images.write.destination import parse_destination
from slimtrace.builder.interrupt import StoppedBySignal, tidily_stopped
from slimtrace.builder.pipeline import BuildResult, make, select
from slimtrace.builder.root.root import Root
from slimtrace.builder.selection.globs import compile_glob
from slimtrace.builder.verify.absent_names import link_absent_names
from slimtrace.builder.verify.compare import compare, record_failed_start
from slimtrace.builder.verify.missing_files import explain_omissions, find_missing
from slimtrace.builder.verify.verdict import Verdict, is_better
from slimtrace.tracer.console import detail, say
from slimtrace.tracer.errors import (
    CannotExecuteError,
    CommandNotFoundError,
    SlimtraceError,
    UsageError,
)
from slimtrace.tracer.host.rootless import become_root
from slimtrace.tracer.rerun_options import RerunOptions
from slimtrace.tracer.trace.append import append_healed
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.trace import Trace, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.builder.model import Selection
    from slimtrace.builder.selection.globs import Glob
    from slimtrace.builder.services import Rerun
    from slimtrace.builder.verify.compare import RunOutcome
    from slimtrace.tracer.trace.trace import Run

_MAX_ROUNDS = 10


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What ``verify`` was asked for.

    :ivar heal: whether what is missing is added, and the image built again.
    :ivar ignore: globs of what may be missing.
    :ivar changes: how the repeated runs differ from the traced ones.
    :ivar full: where the full image lies now; None for where the runs saw it.
    """

    heal: bool = False
    ignore: tuple[str, ...] = ()
    full: str | None = None
    changes: RerunOptions = field(default_factory=RerunOptions)


def verify(image: str, traces: Sequence[str], options: VerifyOptions, rerun: Rerun) -> Verdict:
    """Whether the image does what the traces' runs did in the full one.

    :param image: in a form that ``build`` writes and ``run --image`` reads.
    :raises SlimtraceError: it was not built from these traces; one of all these cannot be read;
        with ``heal``, it cannot be built again.
    """
    with tidily_stopped(image):
        return _verify(image, traces, options, rerun)


def _verify(image: str, traces: Sequence[str], options: VerifyOptions, rerun: Rerun) -> Verdict:
    trace = read_trace(traces)
    become_root()
    full = full_image(trace, options.full).root
    opened = open_image(image)
    made = replace(_read_build_options(opened, full, trace), image=options.full)
    if options.heal:
        _check_healing(image, opened)
    verification = _Verification(full, traces, made, options, rerun)
    verdict = verification.heal(verification.examine(opened, trace))
    if verdict.healed:
        append_healed(traces[0], verdict.healed)
        tagged = replace(made, tag=find_tag(parse_reference(image)))
        make([*traces], image, tagged, rerun)
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
    become_root()
    full = full_image(read_trace(traces), build_options.image).root
    verification = _Verification(full, traces, build_options, options, rerun)
    with tidily_stopped(destination):
        verdict = verification.heal(verification.examine_built())
        if verdict.healed:
            append_healed(traces[0], verdict.healed)
        built = make([*traces], destination, build_options, rerun)
        return built, replace(verdict, image=destination)


@dataclass(frozen=True, slots=True)
class _Verification:
    """One command's work.

    :ivar full: the full image.
    :ivar made: the options of the builds.
    """

    full: Root
    traces: Sequence[str]
    made: BuildOptions
    options: VerifyOptions
    rerun: Rerun

    def heal(self, verdict: Verdict) -> Verdict:
        """Add missing files and verify again, round after round, on images of our own.

        Nothing is written to the traces.

        :returns: the verdict of the last round that helped, with the paths added up to then; the
            first verdict where none helped.
        """
        if not self.options.heal:
            return verdict
        best, latest, added = verdict, verdict, dict[str, None]()
        rounds = 1
        while rounds < _MAX_ROUNDS:
            fresh = [item.path for item in latest.lacking if item.path not in added]
            if not fresh:
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
        return replace(best, rounds=rounds)

    def examine_built(self, healed: Sequence[str] = ()) -> Verdict:
        """Build a temporary image and repeat all runs in it.

        :param healed: paths to add to those of the traces.
        """
        options = replace(self.made, tag=None, sbom=(), debug=False)
        with tempfile.TemporaryDirectory(prefix="slimtrace-") as folder:
            image = f"oci:{folder}/slim:latest"
            built = make([*self.traces], image, options, self.rerun, healed)
            opened = open_image(image)
            try:
                return self.examine(opened, read_trace(self.traces), built.selection)
            finally:
                if opened.digest is not None:
                    remove_image(opened.digest)

    def examine(
        self, opened: FullImage, trace: Trace, selection: Selection | None = None
    ) -> Verdict:
        """Repeat all runs in a slim image.

        Once more as it is, where that could tell: who listed a directory saw names that it lacks.

        :param selection: what it was built from; None where it was not built here.
        """
        slim = Root(opened.root)
        with tempfile.TemporaryDirectory(prefix="slimtrace-") as below:
            shown = link_absent_names(below, self.full, slim)
            verdict, verified = self._repeated(opened, slim, trace, selection, below)
        if verdict.passed and any(
            path in shown for path in _find_listed_directories(self.full, verified)
        ):
            detail("once more, without the names of what the image lacks")
            plain, _ = self._repeated(opened, slim, trace, selection, None)
            return replace(plain, left_out=verdict.left_out)
        return verdict

    def _repeated(
        self,
        opened: FullImage,
        slim: Root,
        trace: Trace,
        selection: Selection | None,
        below: str | None,
    ) -> tuple[Verdict, Trace]:
        """All runs once."""
        outcomes, seen = [], []
        default = default_run(trace, self.made.default_run)
        with tempfile.TemporaryDirectory(prefix="slimtrace-") as folder:
            for number, run in enumerate(trace.runs, start=1):
                place = os.path.join(folder, f"{number}.trace")
                again = partial(
                    self.rerun,
                    changes=self.options.changes,
                    is_default=number == self.made.default_run,
                    user=None if run.user == default.user else run.user,
                    below=below,
                )
                outcomes.append(_repeat_run(again, opened, run, place))
                if os.path.exists(place):
                    seen.append(place)
            verified = read_trace(seen) if seen else Trace()
        ignored = [compile_glob(self.full, pattern) for pattern in self.options.ignore]
        found = find_missing(self.full, slim, trace, verified, ignored)
        if found:
            if selection is None:  # it only tells why, and builds nothing
                selection = select(
                    trace, self.full, replace(self.made, allow_changed=True), rerun=self.rerun
                )
            found = explain_omissions(found, selection, self._excluded())
        missing = tuple(item for item in found if item.on_purpose is None)
        left_out = tuple(item for item in found if item.on_purpose is not None)
        return Verdict(opened.source, tuple(outcomes), missing, left_out), verified

    def _excluded(self) -> list[Glob]:
        return [compile_glob(self.full, pattern) for pattern in self.made.exclude]


def _find_listed_directories(full: Root, verified: Trace) -> Iterator[str]:
    """The directories whose names the runs read, by their own paths."""
    for path in verified.paths.values():
        if Use.LIST in path.uses:
            yield full.resolve(path.path).path


def _repeat_run(
    again: Callable[[FullImage, Run, str], None], opened: FullImage, run: Run, place: str
) -> RunOutcome:
    try:
        again(opened, run, place)
    except (CannotExecuteError, CommandNotFoundError) as error:
        return record_failed_start(run, error.message)
    (now,) = read_trace(place).runs
    if now.interrupted is not None:  # that is no answer of the app's
        raise StoppedBySignal(signal.Signals[now.interrupted])
    return compare(run, now)


def _read_build_options(opened: FullImage, full: Root, trace: Trace) -> BuildOptions:
    """How the image was built, of these runs.

    :raises SlimtraceError: it was not.
    """
    if not opened.config:  # a plain tree or tarball says nothing of itself
        _check_program(opened, full, trace)
        return BuildOptions()
    record = read_record(opened.config)
    if record is None:
        raise SlimtraceError(
            f"cannot verify {opened.source}: it does not say that slimtrace built it",
            "build it with slimtrace build",
        )
    if record.runs != identity(trace.runs):
        raise SlimtraceError(
            f"cannot verify {opened.source}: it was not built from these runs",
            "name the traces that it was built from with --trace, or build it again",
        )
    return record.options


def _check_program(opened: FullImage, full: Root, trace: Trace) -> None:
    """:raises SlimtraceError: a tree lacks what the traced command first executed."""
    program = next((image.exe for image in trace.processes if image.parent is None), None)
    if program is None or not full.resolve(program).exists:
        return
    if not Root(opened.root).resolve(program).exists:
        raise SlimtraceError(
            f"cannot verify {opened.source}: it was not built from these runs: it has no {program}",
            "name the traces that it was built from with --trace, or build it again",
        )


def _check_healing(image: str, opened: FullImage) -> None:
    """:raises UsageError: an image in this form cannot be built again in its place."""
    if not opened.config:
        raise UsageError(
            f"cannot heal {image}: it does not say how it was built",
            "verify an image, as app.tar or oci:DIR; or build it by slimtrace slim, which heals",
        )
    parse_destination(image)
