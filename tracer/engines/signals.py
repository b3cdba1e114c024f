"""Signals sent to slimtrace while it traces: the app gets them, and the trace is finished.

A signal typed at the terminal reaches the app by itself, for it is in the same foreground
process group; sending it again would be once too often.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

from slimtrace.tracer.engines.notify.restart import WAKE

if TYPE_CHECKING:
    from slimtrace.tracer.engines.app import App

ENDING = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT})
"""A second one of these, soon after, means: end it now."""
PASSED_ON = ENDING | {
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGWINCH,
}
_SI_KERNEL = 0x80  # sigaction(2): the terminal's own signals come from the kernel
_AGAIN = 10.0
_AGAIN_TYPED = 2.0
"""Seconds for Ctrl-C, which the app gets too and may have a use of its own for."""
_SAME = 0.1
_MOMENT = 0.02
"""Seconds in which a signal to the whole group reaches the app as well as us."""
_POLL = 0.25


class ForwardedSignals:
    """Waits for signals in a thread; they must be blocked in every thread (:func:`block`)."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._last: dict[int, float] = {}
        self._thread = threading.Thread(target=self._loop, name="signals", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _loop(self) -> None:
        while not self._app.ended.is_set():
            info = signal.sigtimedwait(PASSED_ON, _POLL)
            for task in self._app.tasks:
                task()
            if info is not None:
                self._handle(info.si_signo, typed=info.si_code == _SI_KERNEL)

    def _handle(self, number: int, *, typed: bool) -> None:
        now = time.monotonic()
        since = now - self._last.get(number, float("-inf"))
        self._last[number] = now
        if number in ENDING and since < (_AGAIN_TYPED if typed else _AGAIN):
            self._app.kill()
        else:
            self._app.send(number, group_has_it=typed or self._was_delivered(number))
        if number in ENDING:  # only now, so that the app ends by this signal and not by another
            self._app.interrupted = self._app.interrupted or signal.Signals(number).name

    def _was_delivered(self, number: int) -> bool:
        """Whether the app got it too: it was sent to the process group (kill(2))."""
        time.sleep(_MOMENT)
        signal.sigtimedwait({number}, 0)  # what was sent twice at once is one
        return self._app.got(number, _SAME)


def block() -> set[int]:
    """Block the signals that are passed on, and those that tracing waits for.

    :returns: what was blocked before.
    """
    blocked = PASSED_ON | {signal.SIGCHLD, WAKE}
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, blocked))


def restore(before: set[int]) -> None:
    """Undo :func:`block`, dropping what arrived after the end of the app."""
    while signal.sigtimedwait(PASSED_ON, 0) is not None:
        continue
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
