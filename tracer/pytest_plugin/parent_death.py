"""Ties a program to whoever starts it: ``python -m MODULE PID -- COMMAND…``.

For the services of tests. COMMAND has a guard, which ends all of its processes when the process
PID, our parent, is gone. A first SIGTERM or SIGINT is passed on; a second one ends them all.
With ``exec`` before the PID, COMMAND is a slimtrace, which does all that itself.
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


def _main(words: list[str]) -> int:
    """:returns: the exit status: the command's, or 125 to 127 as of ``slimtrace run``."""
    separator = words.index("--")
    *how, parent = words[:separator]
    command = words[separator + 1 :]
    _tie(int(parent))
    if how:
        os.execv(command[0], command)  # noqa: S606 -- as is meant
    try:
        program = find_program(command[0])
    except SlimtraceError as error:
        fail(error.message, error.hint)
        return error.exit_status
    return _serve(program, command)


def _tie(parent: int) -> None:
    """Die with the parent; 0 for none: that of a thread would count for the process's."""
    if parent:
        set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != parent:  # it was gone before the kernel was told
            sys.exit(_FAILURE)


def _serve(program: str, command: list[str]) -> int:
    """Run a command to the end of its last process; the exit status of its first."""

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
    told = False
    while (number := signal.sigwait(_WATCHED)) != signal.SIGCHLD:
        ended = guard.read_exit_status() is not None
        # As below slimtrace: the first process, or all that is left when that is gone.
        targets = [*guard.list_processes()] if told or ended else [guard.child]
        for pid in targets:
            _kill(pid, signal.SIGKILL if told else number)
        told = True
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
