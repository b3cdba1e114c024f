"""The steps of a repeated run: what answers led to is requested again, and not found anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.tracer.trace.drive_steps import DriveStep, StepKind
from slimtrace.tracer.trace.step_changes import replace_steps

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.tracer.trace.trace import DriveOptions, DriveResult


def repeat_found(options: DriveOptions, result: DriveResult | None) -> DriveOptions:
    """Return options that ask for exactly what was requested.

    A page that names other things each time, or fewer because a file is missing, would make the
    two runs differ in what was requested.
    """
    if result is None or (options.crawl is None and not options.documents):
        return options
    return replace(replace_steps(options, _list_steps(options, result)), crawl=None)


def _list_steps(options: DriveOptions, result: DriveResult) -> Iterator[DriveStep]:
    """Yield the steps, each with the requests that followed it."""
    steps = options.steps
    for answer in result.answers:
        if answer.request is not None:
            yield DriveStep(StepKind.REQUEST, answer.request)
        elif (step := next(steps, None)) is not None:
            yield _without_document(step)
    yield from map(_without_document, steps)


def _without_document(step: DriveStep) -> DriveStep:
    return step._replace(kind=StepKind.GET) if step.kind is StepKind.OPENAPI else step
