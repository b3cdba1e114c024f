"""Both loops of one run, from the app's exec to the end of the last tracee."""

from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

from tracer.decode.decoder import Decoder
from tracer.errors import SlimtraceError
from tracer.interrupts import Interrupts
from tracer.kernel import seccomp
from tracer.lifecycle import Lifecycle
from tracer.notify import Notifications
from tracer.platform import kernel_version
from tracer.restart import Restarts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tracer.drive import Driver, Plan
    from tracer.launch import Launch
    from tracer.recorder import Recorder
    from tracer.syscalls.tables import Call

_HEARS_OF_THE_END = (5, 9)  # POLLHUP on a listener whose last task is gone
_LAST_CALLS = 5.0
"""Seconds to wait for the loop that answers calls, where it cannot hear of the last task's end."""


class Session:
    """An app that was launched and waits to be let go.

    :ivar lifecycle: what became of the app's processes.
    :ivar stops: calls that were stopped.
    """

    def __init__(self, started: Launch, recorder: Recorder, calls: dict[int, Call]) -> None:
        self._started = started
        self._decoder = Decoder(recorder)
        self.lifecycle = Lifecycle(recorder, self._decoder.execs, Restarts(calls))
        self.lifecycle.adopt(started.pid)
        listener = seccomp.Listener.open(started.listener)
        self._answers = Notifications(listener, self._decoder, self.lifecycle, calls)

    @property
    def stops(self) -> int:
        return self._answers.stops

    def run(self, plan: Plan | None, mask: Iterable[int]) -> Driver | None:
        """Let the app go, and return when all is over, with what drove it.

        :param mask: the signals that drivers are to have blocked.
        :raises CannotExecuteError: the app could not be executed.
        :raises SlimtraceError: the loop that answers calls failed; the app was killed.
        """
        answering = threading.Thread(target=self._answers.loop, name="notify", daemon=True)
        answering.start()
        Interrupts(self.lifecycle).start()
        driver = self._drive(plan, mask)
        gc.freeze()  # nothing in the loops makes cycles; a collection would only hold up the app
        gc.disable()
        self._started.go()
        self.lifecycle.loop()
        gc.enable()
        # An untraced child (CLONE_UNTRACED) still needs its calls answered.
        answering.join(None if kernel_version() >= _HEARS_OF_THE_END else _LAST_CALLS)
        if driver is not None:
            driver.join()
        if self._answers.lost is not None:
            lost = self._answers.lost
            raise SlimtraceError(f"cannot go on tracing: {lost}") from lost
        self._started.check_executed()
        self._decoder.execs.finish()
        return driver

    def _drive(self, plan: Plan | None, mask: Iterable[int]) -> Driver | None:
        if not plan:
            return None
        from tracer.drive import Driver  # noqa: PLC0415 -- http and ssl are slow to import

        driver = Driver(plan, self.lifecycle, mask)
        driver.start()
        return driver
