"""Starts an image as each run did, asks what is to be asked, and collects the answers."""

from __future__ import annotations

import os
import signal
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.compare.answer_difference import TimedAnswer
from slimtrace.builder.interrupt import StoppedBySignal
from slimtrace.tracer.errors import CannotExecuteError, CommandNotFoundError
from slimtrace.tracer.temporary_folder import find_disk_folder, make_temporary_folder
from slimtrace.tracer.trace.answers import Answer, read_answers
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.trace import Trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.builder.services import Rerun
    from slimtrace.tracer.rerun_options import RerunOptions
    from slimtrace.tracer.trace.trace import Run

_DRIVING = "cannot drive the app: "
"""How the failures of drivers begin."""


class PlannedRun(NamedTuple):
    """One run in one image.

    :ivar is_default: whether the image's own configuration starts it.
    :ivar user: the user where the options name none; None for the image's user.
    """

    run: Run
    is_default: bool = False
    user: str | None = None


@dataclass(frozen=True, slots=True)
class StartedRun:
    """How a run went.

    :ivar answers: what the app answered, by driver and by how often that was asked before. The one
        of no driver is how the app ended.
    :ivar failure: why it did not start or was not ready; None if it was.
    :ivar trace: of this run alone.
    """

    answers: Mapping[tuple[str, int], TimedAnswer] = field(default_factory=dict)
    failure: str | None = None
    trace: Trace = field(default_factory=Trace)


class ImageStart(NamedTuple):
    """An image that was started for all runs.

    :ivar trace: of all runs.
    """

    runs: tuple[StartedRun, ...]
    trace: Trace


def start_image(
    opened: FullImage,
    plan: Sequence[PlannedRun],
    rerun: Rerun,
    changes: RerunOptions,
    below: str | None = None,
) -> ImageStart:
    """Start an image for each run, one after the other.

    :param below: a tree to show below the image, or None.
    """
    started, written = [], []
    with make_temporary_folder() as folder, make_temporary_folder(find_disk_folder()) as copies:
        for number, planned in enumerate(plan, start=1):
            trace, answers = (os.path.join(folder, f"{number}.{x}") for x in ("trace", "answers"))
            options = replace(changes, copies_folder=copies, answers=answers)
            try:
                rerun(
                    opened,
                    planned.run,
                    trace,
                    options,
                    is_default=planned.is_default,
                    user=planned.user,
                    below=below,
                )
            except (CannotExecuteError, CommandNotFoundError) as error:
                started.append(StartedRun(failure=error.message))
                continue
            started.append(_read_run(trace, answers))
            written.append(trace)
        return ImageStart(tuple(started), read_trace(written) if written else Trace())


def _read_run(path: str, answers: str) -> StartedRun:
    trace = read_trace(path)
    (now,) = trace.runs
    if now.interrupted is not None:  # the user ended it: its answers say nothing
        raise StoppedBySignal(signal.Signals[now.interrupted])
    began = datetime.fromisoformat(now.started)
    if began.tzinfo is None:
        began = began.replace(tzinfo=UTC)
    found = [*read_answers(answers)]
    end = now.seconds or 0.0
    if now.drive_options is not None and now.drive_options.has_actions:
        found.append(Answer("", now.exit_status, began=end, ended=end))
    counts = Counter[str]()
    timed = {}
    for answer in found:
        key = answer.driver, counts[answer.driver]
        timed[key] = TimedAnswer(answer, began + timedelta(seconds=answer.ended))
        counts[answer.driver] += 1
    failure = now.drive_result.failure if now.drive_result is not None else None
    return StartedRun(timed, failure and failure.removeprefix(_DRIVING), trace)
