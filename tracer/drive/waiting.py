"""Waits until an app is ready."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, NoReturn

from slimtrace.tracer.drive.checks import why_not
from slimtrace.tracer.drive.ready import Delay, File, Line, Ready
from slimtrace.tracer.errors import DriverError

if TYPE_CHECKING:
    from slimtrace.tracer.app import App
    from slimtrace.tracer.drive.streams import Streams
    from slimtrace.tracer.exits import Exited
    from slimtrace.tracer.view import View

_POLL = 0.02
_MOMENT = 1.0
"""Seconds for what the app wrote at its end to come by."""


def wait_until_ready(ready: Ready, limit: float, app: App, view: View, streams: Streams) -> float:
    """Wait; the seconds that it took.

    :param limit: in seconds; a delay has none.
    :raises DriverError: it took longer, or the app ended.
    """
    began = time.monotonic()
    if isinstance(ready, Delay):
        sleep_until(began + ready.seconds, app)
    while not isinstance(ready, Delay) and not app.ended.is_set():
        if isinstance(ready, Line):
            is_ready, why = streams.lines.matched.is_set(), None
        else:
            why = why_not(ready, view.entry)
            is_ready = why is None
        if is_ready:
            break
        if time.monotonic() > began + limit:
            raise DriverError(
                f"cannot drive the app: {_what_was_not(ready)} in {limit:g} s"
                f"{f' ({why})' if why else ''}",
                "give it longer with --ready-timeout, or see what it printed",
                streams.last_lines(),
            )
        app.ended.wait(_POLL)
    if app.ended.is_set():
        streams.settle(_MOMENT)
        if not streams.lines.matched.is_set():
            _fail_early(app.exit, streams)
    return time.monotonic() - began


def sleep_until(deadline: float, app: App) -> None:
    """Until then, by time.monotonic(), or the app's end."""
    while (left := deadline - time.monotonic()) > 0:
        if app.ended.wait(min(left, 1.0)):
            return


def _what_was_not(ready: Ready) -> str:
    match ready:
        case Line():
            return f"it printed no line that matches {ready.pattern.pattern!r}"
        case File():
            return f"{ready} did not appear"
    return f"{ready} did not answer"


def _fail_early(last: Exited | None, streams: Streams) -> NoReturn:
    how = f": {in_words(last)}" if last else ""
    raise DriverError(
        f"cannot drive the app: it ended before it was ready{how}", None, streams.last_lines()
    )


def in_words(last: Exited) -> str:
    """How a process ended, for people."""
    if last.signal is None:
        return f"exit status {last.status}"
    return signal.strsignal(last.signal) or f"signal {last.signal}"
