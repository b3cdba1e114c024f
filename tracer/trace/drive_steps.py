"""The requests and commands that drove an app, in order."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from slimtrace.tracer.trace.http_request import HttpRequest


class StepKind(StrEnum):
    """What one step of the drive is; the values are the trace's."""

    GET = "http_get"
    REQUEST = "request"
    OPENAPI = "openapi"
    EXEC = "exec"
    EXEC_IN = "exec_in"


class DriveStep(NamedTuple):
    """One step.

    :ivar value: a path for ``GET`` and ``OPENAPI``, a command for ``EXEC``, the arguments of a
        command for ``EXEC_IN``.
    """

    kind: StepKind
    value: str | tuple[str, ...] | HttpRequest


DEFAULT_ORDER = tuple(StepKind)
"""The order of kinds where a trace says none: an older version wrote it."""


def sort_steps(
    values: Mapping[StepKind, Sequence[Any]], order: Sequence[StepKind]
) -> Iterator[DriveStep]:
    """Yield the steps.

    :param order: the kind of each step; empty for the default order.
    """
    if not order:
        order = [kind for kind in DEFAULT_ORDER for _ in values[kind]]
    left = {kind: iter(each) for kind, each in values.items()}
    for kind in order:
        yield DriveStep(kind, next(left[kind]))


def shorten_order(kinds: Iterable[StepKind]) -> tuple[StepKind, ...]:
    """The order of steps as it is kept: empty if it is the default one."""
    order = tuple(kinds)
    return () if [*order] == sorted(order, key=DEFAULT_ORDER.index) else order
