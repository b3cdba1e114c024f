"""Changes the steps of a drive, and keeps their order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from slimtrace.tracer.trace.drive_steps import DriveStep, StepKind, shorten_order

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.tracer.trace.trace import DriveOptions

_FIELDS = {
    StepKind.GET: "http_get",
    StepKind.REQUEST: "requests",
    StepKind.OPENAPI: "documents",
    StepKind.EXEC: "commands",
    StepKind.EXEC_IN: "inside",
}
"""The fields of DriveOptions with the steps of a kind."""


def make_step_fields(steps: Iterable[DriveStep]) -> dict[str, Any]:
    """The fields of DriveOptions for these steps."""
    steps = [*steps]
    fields: dict[str, Any] = {
        name: tuple(step.value for step in steps if step.kind is kind)
        for kind, name in _FIELDS.items()
    }
    return {**fields, "order": shorten_order(step.kind for step in steps)}


def replace_steps(options: DriveOptions, steps: Iterable[DriveStep]) -> DriveOptions:
    """Return the options with other steps."""
    return replace(options, **make_step_fields(steps))


def add_steps(options: DriveOptions, more: Iterable[DriveStep]) -> DriveOptions:
    """Return the options with more steps at the end, except those that it has."""
    known = [*options.steps]
    return replace_steps(options, (*known, *(step for step in more if step not in known)))
