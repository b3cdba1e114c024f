"""Signals sent to slimtrace while it traces: the app gets them, and the trace is finished.

A signal typed at the terminal reaches the app by itself, for it is in the same foreground
process group; sending it again would be once too often.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tracer.lifecycle import Lifecycle

PASSED_ON = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
_SI_KERNEL = 0x80  # sigaction(2): the terminal's own signals come from the kernel
_AGAIN = 2.0
"""Seconds in which a second Ctrl-C means: end it now."""
_POLL = 0.25


class Interrupts:
    """Waits for signals in a thread; they must be blocked in every thread (:func:`block`)."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        self._lifecycle = lifecycle
        self._last: dict[int, float] = {}
        self._thread = threading.Thread(target=self._loop, name="signals", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def _loop(self) -> None:
        while not self._lifecycle.ended.is_set():
            info = signal.sigtimedwait(PASSED_ON, _POLL)
            if info is not None:
                self._handle(info.si_signo, from_terminal=info.si_code == _SI_KERNEL)

    def _handle(self, number: int, *, from_terminal: bool) -> None:
        now = time.monotonic()
        before = self._last.get(number)
        self._last[number] = now
        typed = from_terminal and self._same_group()
        if before is not None and (not typed or now - before < _AGAIN):
            self._lifecycle.kill()
        elif not typed:
            self._lifecycle.signal_app(number)

    def _same_group(self) -> bool:
        root = self._lifecycle.root
        try:
            return root is not None and os.getpgid(root) == os.getpgrp()
        except ProcessLookupError:
            return True


def block() -> set[int]:
    """Block the signals that are passed on; returns what was blocked before."""
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON))


def restore(before: set[int]) -> None:
    """Undo :func:`block`, dropping what arrived after the end of the app."""
    while signal.sigtimedwait(PASSED_ON, 0) is not None:
        continue
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
