"""The signals that end a command of slimtrace, and the message for them."""

from __future__ import annotations

import signal

from slimtrace.tracer.errors import StoppedError

END_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP})


def make_stopped_error(action: str, number: int) -> StoppedError:
    """The error ``cannot ACTION: SIGNAL ended it``, with the exit status ``128 + number``."""
    return StoppedError(f"cannot {action}: {signal.Signals(number).name} ended it", number)
