"""What the launcher and process 1 do while the program runs: pass signals on, reap, report."""

from __future__ import annotations

import contextlib
import os
import signal

PARENT_DIED = signal.SIGRTMAX
"""Sent by the kernel when the thread that started the launcher ends (prctl(2)); only the end of
its whole process counts."""

_PASSED_ON = frozenset(
    (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGCONT,
    )
)
_WATCHED = _PASSED_ON | {signal.SIGCHLD, PARENT_DIED}
_SI_KERNEL = 0x80


def block_signals() -> None:
    """Queue signals for :func:`until_end_of`, even those that process 1 would never be sent."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)


def restore_signals() -> None:
    """What Python and :func:`block_signals` changed, as a program expects it after exec."""
    for changed in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(changed, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def until_end_of(child: int, parent: int | None = None) -> int:
    """Serve ``child`` until it ends; its exit status, 128+N for signal N.

    :param parent: the process whose end means the child's, by SIGKILL.
    """
    while True:
        event = signal.sigwaitinfo(_WATCHED)
        if event.si_signo == signal.SIGCHLD:
            status = _reap(child)
            if status is not None:
                return status
        elif event.si_signo == PARENT_DIED:
            if os.getppid() != parent:
                os.kill(child, signal.SIGKILL)
        elif event.si_code != _SI_KERNEL:
            # What a terminal sends goes to its whole foreground group: the program has it already.
            with contextlib.suppress(PermissionError):
                os.kill(child, event.si_signo)


def _reap(child: int) -> int | None:
    """Collect all that have ended; the exit status of ``child`` if it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
            if ended[0] == child:
                code = os.waitstatus_to_exitcode(ended[1])
                found = code if code >= 0 else 128 - code
    return found
