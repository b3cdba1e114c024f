"""Starts a full image and its slim one, asks both the same, and compares the answers.

They start one after the other: an app listens on the same port in both. Where an answer differs,
the full image is started once more: what differs between its own starts says nothing. Then the slim
image is started once more with the names that it lacks (:mod:`absent_names`), to see which files it
looks for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from slimtrace.builder.compare.answer_difference import (
    AnswerDifference,
    find_difference,
    is_unstable,
)
from slimtrace.builder.compare.comparison import ComparedAnswer, Comparison
from slimtrace.builder.compare.image_start import start_image
from slimtrace.builder.compare.missed_files import END, START, MissedFiles
from slimtrace.builder.compare.questions import (
    ComparisonPlan,
    Questions,
    plan_images,
    plan_traced,
)
from slimtrace.builder.full_image import find_source, make_root, open_full_image
from slimtrace.builder.images.read.full_image_source import open_image
from slimtrace.builder.interrupt import raise_on_signals
from slimtrace.builder.root.root import Root
from slimtrace.builder.selection.globs import compile_glob
from slimtrace.builder.verify.absent_names import link_absent_names
from slimtrace.builder.verify.foreign_runs import check_made_here
from slimtrace.builder.verify.healing import (
    HealedBuild,
    check_healing,
    choose_kept,
    heal,
    remove_own_copy,
)
from slimtrace.builder.verify.image_build import read_build
from slimtrace.builder.verify.restrictions import explain_restrictions
from slimtrace.tracer.console import detail
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.rerun_options import RerunOptions
from slimtrace.tracer.temporary_folder import make_temporary_folder
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.builder.compare.answer_difference import TimedAnswer
    from slimtrace.builder.compare.image_start import ImageStart
    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.builder.model import Selection
    from slimtrace.builder.services import Rerun
    from slimtrace.builder.verify.missing_files import MissingFile
    from slimtrace.builder.verify.verify import VerifyOptions


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """Options of ``compare``.

    :ivar traces: whose runs are repeated, and by which the slim image is healed; none to start
        the images as their own configurations say.
    :ivar heal: whether to add missing files and build again.
    :ivar ignore: globs of files that may be missing.
    :ivar changes: how both images are started.
    :ivar trust: whether to repeat runs of others, too.
    """

    questions: Questions = field(default_factory=Questions)
    traces: tuple[str, ...] = ()
    heal: bool = False
    ignore: tuple[str, ...] = ()
    trust: bool = False
    changes: RerunOptions = field(default_factory=RerunOptions)


def compare(full: str | None, slim: str, options: CompareOptions, rerun: Rerun) -> Comparison:
    """Start both images, ask both the same, and compare what they answer.

    :param full: a reference; None for the full image of the traces.
    :param slim: a reference, as ``verify`` takes it.
    :raises SlimtraceError: an image or a trace cannot be read, the full image does not start, the
        traces are of others; with ``heal``, the image cannot be built again.
    """
    with raise_on_signals(slim, "compare"):
        return _compare(full, slim, options, rerun)


def compare_traced(
    slim: str, traces: Sequence[str], options: VerifyOptions, rerun: Rerun
) -> Comparison:
    """Repeat the runs of traces in their full image and in a slim one, and compare the answers."""
    compared = CompareOptions(
        traces=tuple(traces),
        heal=options.heal,
        ignore=options.ignore,
        trust=options.trust,
        changes=options.changes,
    )
    return compare(options.full, slim, compared, rerun)


def _compare(full: str | None, slim: str, options: CompareOptions, rerun: Rerun) -> Comparison:
    trace = read_trace(options.traces) if options.traces else Trace()
    check_made_here(trace.runs, trust=options.trust)
    source = full if full is not None else find_source(trace, None)
    if source is None:
        open_full_image(trace)  # says which images there are
        raise AssertionError
    digest = trace.runs[0].image_digest if full is None else None
    first, second = open_image(source, digest=digest), open_image(slim)
    if options.heal:
        check_healing(slim, second.source)
    root = open_full_image(trace, full).root if options.traces else make_root(first)
    again = main_run = None
    default_run: int | None = None
    if options.traces:
        build = read_build(second, trace)
        default_run = build.default_run
        main_run = build.options.default_run
        kept = choose_kept(second, build, root, is_healed=options.heal)
        again = HealedBuild(options.traces, replace(build.options, image=full), rerun, kept)
    sides = _Sides(source, first, root, options, rerun, again, trace, default_run, main_run or 1)
    try:
        found = sides.examine(second)
        if options.heal and again is not None:
            found = heal(found, sides.examine_built, may_lack_runs=bool(again.kept))
    finally:
        if second.root != first.root:
            remove_own_copy(second)
    if found.is_rebuilt and again is not None:
        again.replace_image(second.source, found.healed)
    return replace(found, full=source, slim=slim)


@dataclass(slots=True)
class _Sides:
    """The inputs of one comparison, and the starts of the full image, which serve all rounds.

    :ivar source: the full image's reference, as the user gave it.
    :ivar root: the full image's files, as they were when traced.
    :ivar trace: that of the options; empty if there is none.
    :ivar default_run: the number of the run that the slim image's own configuration starts.
    :ivar main_run: the number of the run that gets the further questions.
    """

    source: str
    full: FullImage
    root: Root
    options: CompareOptions
    rerun: Rerun
    build: HealedBuild | None
    trace: Trace
    default_run: int | None
    main_run: int
    starts: list[ImageStart] = field(default_factory=list)

    def examine_built(self, healed: Sequence[str]) -> Comparison:
        """Compare a temporary image with these paths added."""
        if self.build is None:
            raise AssertionError
        with self.build.open_temporary(healed) as (opened, selection):
            return self.examine(opened, selection)

    def examine(self, slim: FullImage, selection: Selection | None = None) -> Comparison:
        """Compare the full image with a slim one.

        :param selection: what it was built from; None if this command did not build it.
        """
        plan = self._plan(slim)
        if not self.starts:
            self.starts.append(self._start_full(plan))
        own = start_image(slim, plan.slim, self.rerun, self.options.changes)
        answers = [*_compare_starts(self.starts, own, plan)]
        if len(self.starts) == 1 and any(each.difference is not None for each in answers):
            detail("starting the full image again, to see what differs between its starts")
            self.starts.append(self._start_full(plan))
            answers = [*_compare_starts(self.starts, own, plan)]
        looked = [own]
        if any(each.difference is not None for each in answers):
            detail("starting the slim image again, to see which files it looks for")
            looked.append(self._start_with_names(slim, plan))
        found = Comparison(
            self.full.source,
            slim.source,
            tuple(answers),
            {"full": len(self.starts), "slim": len(looked)},
        )
        return self._explain(found, slim, looked, selection)

    def _plan(self, slim: FullImage) -> ComparisonPlan:
        questions = self.options.questions
        if not self.options.traces:
            return plan_images(self.full, slim, questions)
        asked = Questions() if questions.changes_start() else questions
        plan = plan_traced(self.full, self.trace, asked, self.default_run, self.main_run)
        if not questions.changes_start():
            return plan
        own = plan_images(self.full, slim, questions)
        return ComparisonPlan((*plan.full, *own.full), (*plan.slim, *own.slim))

    def _start_full(self, plan: ComparisonPlan) -> ImageStart:
        """:raises SlimtraceError: it did not start, or was not ready."""
        started = start_image(self.full, plan.full, self.rerun, self.options.changes)
        for run in started.runs:
            if run.failure is not None:
                raise SlimtraceError(
                    f"cannot compare with {self.source}: {run.failure}",
                    "find the options with which it starts, as --ready, --env or --volume; "
                    "slimtrace --verbose shows what it prints",
                )
        return started

    def _start_with_names(self, slim: FullImage, plan: ComparisonPlan) -> ImageStart:
        with make_temporary_folder() as below:
            link_absent_names(below, self.root, Root(slim.root))
            return start_image(slim, plan.slim, self.rerun, self.options.changes, below)

    def _explain(
        self,
        found: Comparison,
        slim: FullImage,
        looked: Sequence[ImageStart],
        selection: Selection | None,
    ) -> Comparison:
        """Add the files that the slim image lacked, each to the answers that it may explain."""
        globs = [compile_glob(self.root, pattern) for pattern in self.options.ignore]
        missed = MissedFiles(self.root, Root(slim.root), self.starts[0].trace, globs)
        for start in looked:
            missed.add(start)
        for answer in found.differing:
            missed.add_program(answer, [planned.run for planned in self._plan(slim).slim])
        missing = tuple(missed.files.values())
        left_out: tuple[MissingFile, ...] = ()
        if self.build is not None:
            missing, left_out = self.build.split_missing(missing, self.root, self.trace, selection)
        names = {item.path for item in missing}
        answers = tuple(
            replace(each, missing=missed.list_behind(each.key, names))
            if each.difference is not None
            else each
            for each in found.answers
        )
        behind = {item.path: item for each in answers for item in each.missing}
        found = replace(found, answers=answers, missed=missing, left_out=left_out)
        if not found.differences:
            return found
        declared = slim.run_config.get("Volumes") or ()
        trace = self.trace if self.options.traces else self.starts[0].trace
        hints = explain_restrictions(trace, self.root, self.options.changes, declared)
        return replace(found, missing=tuple(behind.values()) or missing, hints=tuple(hints))


def _compare_starts(
    full: Sequence[ImageStart], slim: ImageStart, plan: ComparisonPlan
) -> Iterator[ComparedAnswer]:
    for number, own in enumerate(slim.runs, start=1):
        others = [start.runs[number - 1] for start in full]
        run = plan.full[number - 1].run
        is_driven = run.drive_options is not None and run.drive_options.has_actions
        undriven = END if is_driven else " ".join(run.command)
        if own.failure is not None:
            fact = f"it did not start in the slim image: {own.failure}"
            yield ComparedAnswer((number, *START), START[0], None, None, AnswerDifference(fact))
        for key in dict.fromkeys((*others[0].answers, *own.answers)):
            known = [other.answers[key] for other in others if key in other.answers]
            yield _compare_answers((number, *key), key[0] or undriven, known, own.answers.get(key))


def _compare_answers(
    key: tuple[int, str, int], name: str, known: Sequence[TimedAnswer], own: TimedAnswer | None
) -> ComparedAnswer:
    was = known[0].answer if known else None
    now = own.answer if own is not None else None
    if not known or own is None:
        which = "the slim image" if was is None else "the full image"
        difference: AnswerDifference | None = AnswerDifference(f"answered only in {which}")
        return ComparedAnswer(key, name, was, now, difference)
    difference = find_difference(known, own)
    return ComparedAnswer(key, name, was, now, difference, is_unstable(known))
