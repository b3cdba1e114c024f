"""Turns signals that end a command into exceptions, so that it cleans up first."""

from __future__ import annotations

import os
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.tracer.end_signals import END_SIGNALS, make_stopped_error

if TYPE_CHECKING:
    from collections.abc import Iterator

_HANDLED = END_SIGNALS - {signal.SIGINT, signal.SIGQUIT}
"""Not SIGINT, for which Python raises KeyboardInterrupt. Not SIGQUIT, which ends a program at once,
with a core dump."""

_REPEAT_SECONDS = 10.0
"""Python drops an exception that is raised in a callback of a weak reference, which each import
has. A signal whose exception did not arrive after this time is sent again."""


class StoppedBySignal(BaseException):
    """A signal arrived. Only :func:`raise_on_signals` catches it, so it is no Exception."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def raise_on_signals(image: str, verb: str = "verify") -> Iterator[None]:
    """Raise an exception when a signal arrives. Signals that the user ignores stay ignored.

    :param verb: what the command does with the image, for the message.
    :raises StoppedError: a signal arrived within the context.
    """
    timers: list[threading.Timer] = []
    repeated: set[int] = set()

    def repeat(number: int) -> None:
        repeated.add(number)
        os.kill(os.getpid(), number)

    def stop(number: int, _: object) -> None:
        if number in repeated:
            repeated.discard(number)
            if isinstance(sys.exception(), StoppedBySignal):
                return  # it did arrive, and the clean-up takes its time
        timer = threading.Timer(_REPEAT_SECONDS, repeat, (number,))
        timer.daemon = True
        timers.append(timer)
        timer.start()
        raise StoppedBySignal(number)

    before = {number: signal.getsignal(number) for number in _HANDLED}
    handled = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in handled:
        signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise make_stopped_error(f"{verb} {image}", signal.SIGINT) from None
    except StoppedBySignal as stopped:
        raise make_stopped_error(f"{verb} {image}", stopped.number) from None
    finally:
        for timer in timers:
            timer.cancel()
        for number in handled:
            signal.signal(number, before[number])
