"""Compares how a run ended in the full image and in the slim one."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.tracer.trace.trace import DriveResult, Response, Run


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """One run in both images.

    :ivar before: the traced run in the full image.
    :ivar now: the run in the slim image; None if it could not be started.
    :ivar differences: one sentence for each; empty if both went the same way.
    """

    before: Run
    now: Run | None
    differences: tuple[str, ...]


def compare(before: Run, now: Run) -> RunOutcome:
    """Compare a run traced in the full image with the same run in the slim one."""
    return RunOutcome(before, now, tuple(_find_differences(before, now)))


def record_failed_start(before: Run, why: str) -> RunOutcome:
    """The outcome of a run that could not be started in the slim image."""
    return RunOutcome(before, None, (why,))


def _find_differences(before: Run, now: Run) -> Iterator[str]:
    if before.drive_result is not None and now.drive_result is not None:
        yield from _compare_responses(before.drive_result, now.drive_result)
    if before.exit_status is not None and before.exit_status != now.exit_status:
        yield f"exit status {now.exit_status}, but {before.exit_status} when traced"


def _compare_responses(before: DriveResult, after: DriveResult) -> Iterator[str]:
    if after.failure is not None and before.failure is None:
        yield after.failure
        return
    for was, is_ in zip_longest(before.answers, after.answers):
        if was is None or is_ is None:
            yield f"{(was or is_).driver!r} ran in only one of both images"
        elif was.status != is_.status:
            now, traced = _describe_status(is_), _describe_status(was)
            yield f"{was.driver!r} gave {now}, but {traced} when traced"


def _describe_status(answer: Response) -> str:
    return "no answer" if answer.status is None else f"status {answer.status}"
