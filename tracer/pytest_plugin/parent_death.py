"""Runs a test's service until its parent ends: ``python -m MODULE PID -- COMMAND…``.

A guard kills all processes of COMMAND when the parent process PID has ended. A first SIGTERM or
SIGINT is forwarded; a second one kills them all. With ``exec`` before the PID, COMMAND is
slimtrace, which does all this itself.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Never

from slimtrace.tracer.console import fail
from slimtrace.tracer.engines.launch.guard import Guard
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.host.which import cannot_execute, find_program
from slimtrace.tracer.kernel.process import set_parent_death_signal

if TYPE_CHECKING:
    import socket

_FAILURE = 125
_WATCHED = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


def _main(argv: list[str]) -> int:
    """:returns: the exit status of the command, or 125 to 127 like ``slimtrace run``."""
    separator = argv.index("--")
    *mode, parent = argv[:separator]
    command = argv[separator + 1 :]
    _die_with_parent(int(parent))
    if mode:
        os.execv(command[0], command)  # noqa: S606 -- as is meant
    try:
        program = find_program(command[0])
    except SlimtraceError as error:
        fail(error.message, error.hint)
        return error.exit_status
    return _serve(program, command)


def _die_with_parent(parent: int) -> None:
    """Get SIGKILL when the parent ends; do nothing for PID 0.

    A test that starts a service in a thread gives 0: the end of that thread would count as the end
    of the parent (prctl(2)).
    """
    if parent:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the call
            sys.exit(_FAILURE)


def _serve(program: str, command: list[str]) -> int:
    """Run a command until its last process ends; return the exit status of its first."""

    def execute(_: socket.socket) -> Never:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for changed in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT):
            signal.signal(changed, signal.SIG_DFL)
        try:
            os.execv(program, command)  # noqa: S606 -- as is meant
        except OSError as error:
            refused = cannot_execute(program, error.errno or 0)
            fail(refused.message, refused.hint)
            os._exit(refused.exit_status)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    guard = Guard.start(execute)
    has_forwarded = False
    while (number := signal.sigwait(_WATCHED)) != signal.SIGCHLD:
        ended = guard.read_exit_status() is not None
        # Like slimtrace: signal the first process, or all others when that has ended.
        targets = [*guard.list_processes()] if has_forwarded or ended else [guard.child]
        for pid in targets:
            _kill(pid, signal.SIGKILL if has_forwarded else number)
        has_forwarded = True
    guard.join()
    exited = guard.read_exit_status()
    return _FAILURE if exited is None else exited.status


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
