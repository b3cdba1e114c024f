"""Signals sent to slimtrace while it traces: it forwards them to the app, and the trace goes on.

A signal typed at the terminal reaches the app directly, because it is in the same foreground
process group. slimtrace must not send that one again.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

from slimtrace.tracer.engines.notify.restart import WAKE

if TYPE_CHECKING:
    from slimtrace.tracer.engines.app import App

TERMINATION_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT})
"""The same one twice within a short time means: kill the app now."""
FORWARDED = TERMINATION_SIGNALS | {
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGALRM,
    signal.SIGWINCH,
}
_SI_KERNEL = 0x80  # sigaction(2): the terminal's own signals come from the kernel
_REPEAT_SECONDS = 10.0
_TYPED_REPEAT_SECONDS = 2.0
"""For Ctrl-C, which the app gets too and may use for something else than its end."""
_SAME_SIGNAL_SECONDS = 0.1
_DELIVERY_SECONDS = 0.02
"""Within which a signal to the whole process group reaches both the app and us."""
_POLL_SECONDS = 0.25


class ForwardedSignals:
    """Waits for signals in a thread; every thread must block them (:func:`block_signals`)."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._last: dict[int, float] = {}
        self._thread = threading.Thread(target=self._loop, name="signals", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _loop(self) -> None:
        while not self._app.ended.is_set():
            info = signal.sigtimedwait(FORWARDED, _POLL_SECONDS)
            for task in self._app.periodic_tasks:
                task()
            # After SIGCONT the kernel's answer can be a structure that nothing was written to.
            if info is not None and info.si_signo in FORWARDED:
                self._handle(info.si_signo, typed=info.si_code == _SI_KERNEL)

    def _handle(self, number: int, *, typed: bool) -> None:
        now = time.monotonic()
        since = now - self._last.get(number, float("-inf"))
        self._last[number] = now
        if number in TERMINATION_SIGNALS and since < (
            _TYPED_REPEAT_SECONDS if typed else _REPEAT_SECONDS
        ):
            self._app.kill()
        else:
            self._app.send(number, skip_our_group=typed or self._was_delivered(number))
        if (
            number in TERMINATION_SIGNALS
        ):  # set only now: whoever reads it may send the app another signal
            self._app.interrupted = self._app.interrupted or signal.Signals(number).name

    def _was_delivered(self, number: int) -> bool:
        """Whether the app got it too, because it was sent to the whole process group (kill(2))."""
        time.sleep(_DELIVERY_SECONDS)
        signal.sigtimedwait({number}, 0)  # two at the same moment count as one
        return self._app.has_received(number, _SAME_SIGNAL_SECONDS)


def block_signals() -> set[int]:
    """Block the signals that are forwarded, and those that the engines wait for.

    :returns: the signals that were blocked before.
    """
    blocked = FORWARDED | {signal.SIGCHLD, WAKE}
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, blocked))


def restore_mask(before: set[int]) -> None:
    """Undo :func:`block_signals`; signals that arrived after the end of the app are dropped."""
    while signal.sigtimedwait(FORWARDED, 0) is not None:
        continue
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
