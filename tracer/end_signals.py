"""The signals that end a command of slimtrace, and the message for them.

What a signal does depends on what the command does at that moment, so there are three mechanisms:

- ``builder/interrupt.py``: handlers that raise an exception. The builder reads, compresses and
  unpacks for minutes without waiting for anything: only an exception can stop that, and its
  context managers clean up.
- ``EndSignals`` in ``startup/start.py``: the signals are blocked, and looked for at each wait. An
  exception could come between the start of a process and the line that remembers it, or while
  the processes are killed, and they would run on. When one was seen, all are killed first.
- ``engines/signals.py``: the signals are forwarded to the app, and do not end the command. It
  ends with the app, after its trace is complete.

``verify`` and ``check`` use the first one around the other two: while signals are blocked, no
handler runs. The inner one reports its signal, by StoppedError or as ``interrupted`` in the trace.
"""

from __future__ import annotations

import signal

from slimtrace.tracer.errors import StoppedError

END_SIGNALS = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP})


def make_stopped_error(action: str, number: int) -> StoppedError:
    """The error ``cannot ACTION: SIGNAL ended it``, with the exit status ``128 + number``."""
    return StoppedError(f"cannot {action}: {signal.Signals(number).name} ended it", number)
