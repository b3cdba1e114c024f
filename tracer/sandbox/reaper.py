"""Process 1 before the app, for ``--init``: passes signals on, and waits for orphans.

It does what tini and ``podman run --init`` do, for apps that do not wait for children which they
inherit (pid_namespaces(7)).
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import Never

from slimtrace.tracer.kernel import process

_TITLE = "app init"
_JOB_CONTROL = frozenset({signal.SIGTTIN, signal.SIGTTOU})
"""Of the terminal for ourselves: the app gets its own."""


def reap(app: int) -> Never:
    """Wait until the app has ended, and end with its exit status.

    Nothing here makes a call with a path: the tracer would take it for one of the app's.

    :param app: the child that is the app. Every signal must be blocked.
    """
    process.set_name(_TITLE)
    os.closerange(0, os.sysconf("SC_OPEN_MAX"))
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    while True:
        number = signal.sigwait(signal.valid_signals())
        if number == signal.SIGCHLD:
            _wait_for_ended(app)
        elif number not in _JOB_CONTROL:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(app, number)


def _wait_for_ended(app: int) -> None:
    with suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            if pid == app:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
