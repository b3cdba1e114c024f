"""Signals that end what runs images, which leaves nothing behind."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never

from slimtrace.tracer.errors import StoppedError

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDING = (signal.SIGTERM, signal.SIGHUP)
"""Python knows what to do at SIGINT; these would end it as it stands."""


class StoppedBySignal(BaseException):
    """One arrived: no failure that anything but :func:`tidily_stopped` takes note of."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def tidily_stopped(image: str, verb: str = "verify") -> Iterator[None]:
    """Have signals end the work as failures do; those that a user has ignored stay ignored.

    :param verb: what is being done with the image.
    :raises StoppedError: one arrived, anywhere within.
    """

    def stop(number: int, _: object) -> Never:
        raise StoppedBySignal(number)

    before = {number: signal.getsignal(number) for number in _ENDING}
    mine = [number for number, handler in before.items() if handler is signal.SIG_DFL]
    for number in mine:
        signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise _told(verb, image, signal.SIGINT) from None
    except StoppedBySignal as stopped:
        raise _told(verb, image, stopped.number) from None
    finally:
        for number in mine:
            signal.signal(number, before[number])


def _told(verb: str, image: str, number: int) -> StoppedError:
    return StoppedError(f"cannot {verb} {image}: {signal.Signals(number).name} ended it", number)
