"""The result of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from slimtrace.tracer.errors import DriverError
    from slimtrace.tracer.trace.trace import DriveResult, Run


class ExitStatus(NamedTuple):
    """How a process or thread ended. ``status`` is 128+N for signal N, as in shells."""

    status: int
    signal: int | None


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended.

    :ivar exit_status: the exit status of slimtrace: 0 where it stopped the app as planned, else the
        app's, or that of ``failure``.
    :ivar failure: why a driver failed, or None.
    :ivar stops: calls that were stopped.
    :ivar files: paths of the full image that were touched.
    :ivar gaps: kinds of gap to how many.
    :ivar drive_result: how driving it went; None where nothing drove it.
    """

    run: Run
    exit_status: int
    stops: int
    files: int
    failure: DriverError | None = None
    gaps: dict[str, int] = field(default_factory=dict)
    drive_result: DriveResult | None = None

    @property
    def app_exit_status(self) -> int:
        """That of ``failure``, else the app's, even where slimtrace stopped it."""
        return self.exit_status if self.failure else (self.run.exit_status or 0)
