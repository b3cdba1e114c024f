"""How a run ended in the full image and in the slim one: what differs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.tracer.trace.trace import DriveResult, Response, Run


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """One run, there and here.

    :ivar now: the run in the slim image; None where it could not be started.
    :ivar differences: in words; none where it went as before.
    """

    before: Run
    now: Run | None
    differences: tuple[str, ...]


def compare(before: Run, now: Run) -> RunOutcome:
    """A run that was traced in the full image, and the same in the slim one."""
    return RunOutcome(before, now, tuple(_differences(before, now)))


def failed(before: Run, why: str) -> RunOutcome:
    """A run that could not be started in the slim image."""
    return RunOutcome(before, None, (why,))


def _differences(before: Run, now: Run) -> Iterator[str]:
    if before.driven is not None and now.driven is not None:
        yield from _driven(before.driven, now.driven)
    if before.exit_status is not None and before.exit_status != now.exit_status:
        yield f"it ended with status {now.exit_status}, and with {before.exit_status} when traced"


def _driven(before: DriveResult, now: DriveResult) -> Iterator[str]:
    if now.failure is not None and before.failure is None:
        yield now.failure
        return
    for was, is_ in zip_longest(before.answers, now.answers):
        if was is None or is_ is None:
            yield f"{(was or is_).driver!r} was asked in one of both alone"
        elif was.status != is_.status:
            yield f"{was.driver!r} gave {_status(is_)}, and {_status(was)} when traced"


def _status(answer: Response) -> str:
    return "no answer" if answer.status is None else f"status {answer.status}"
