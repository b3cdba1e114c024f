"""Signals that end slimtrace while an app runs that it started: the app ends with it."""

from __future__ import annotations

import signal

from slimtrace.tracer import interrupts
from slimtrace.tracer.errors import StoppedError

_ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP})


class Ending:
    """Takes note of the first signal, from one thread, in the waits of which it may come.

    What a terminal sends reaches the app by itself too, and may end it before we look.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._mask = interrupts.block()

    def wait(self, seconds: float) -> None:
        """Sleep so long, or until a signal comes."""
        info = signal.sigtimedwait(_ENDING, seconds)
        if info is not None and self.number is None:
            self.number = info.si_signo

    @property
    def mask(self) -> set[int]:
        """What was blocked before."""
        return self._mask

    def over(self) -> None:
        """The app has ended: signals are slimtrace's own again.

        :raises StoppedError: one came.
        """
        self.wait(0)
        self.restore()
        if self.number is not None:
            name = signal.Signals(self.number).name
            raise StoppedError(f"cannot go on with the image: {name} ended it", self.number)

    def restore(self) -> None:
        """Undo the blocking."""
        interrupts.restore(self._mask)
