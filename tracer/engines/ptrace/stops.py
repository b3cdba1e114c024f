"""Decodes a wait status into one of a closed set of stops (ptrace(2), wait(2))."""

from __future__ import annotations

import os
import signal
from enum import Enum
from typing import NamedTuple

from slimtrace.tracer.kernel import ptrace
from slimtrace.tracer.result import ExitStatus

_SYSCALL_STOP = signal.SIGTRAP | 0x80  # PTRACE_O_TRACESYSGOOD
_GROUP_STOPS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})


class SignalDelivery(NamedTuple):
    """A signal is about to be delivered."""

    signal: int


class PtraceEvent(Enum):
    """Stops that need no more data than their kind."""

    BIRTH = "birth"
    """The tracee forked a process, or started a thread."""
    EXEC = "exec"
    GROUP_STOP = "group-stop"
    """Job control stopped the process; it stays stopped until SIGCONT."""
    FIRST_STOP = "first-stop"
    """A new tracee before its first instruction, or a trap after PTRACE_LISTEN."""
    CALL = "call"
    """Before or after a system call: PTRACE_GET_SYSCALL_INFO says which."""
    OTHER = "other"


Stop = ExitStatus | SignalDelivery | PtraceEvent

_EVENTS = {
    ptrace.PTRACE_EVENT_FORK: PtraceEvent.BIRTH,
    ptrace.PTRACE_EVENT_VFORK: PtraceEvent.BIRTH,
    ptrace.PTRACE_EVENT_CLONE: PtraceEvent.BIRTH,
    ptrace.PTRACE_EVENT_EXEC: PtraceEvent.EXEC,
    ptrace.EVENT_SECCOMP: PtraceEvent.CALL,
}


def decode_exit_status(status: int) -> ExitStatus:
    """How a process ended, by its status from waitpid(2)."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return ExitStatus(128 + number, number)
    return ExitStatus(os.WEXITSTATUS(status), None)


def decode_status(status: int) -> Stop:
    """Decode a status from waitpid(2) of a tracee that was seized."""
    if not os.WIFSTOPPED(status):
        return decode_exit_status(status)
    number, event = status >> 8 & 0xFF, status >> 16 & 0xFFFF
    if event == 0:
        return PtraceEvent.CALL if number == _SYSCALL_STOP else SignalDelivery(number)
    if event == ptrace.EVENT_STOP:
        return PtraceEvent.GROUP_STOP if number in _GROUP_STOPS else PtraceEvent.FIRST_STOP
    return _EVENTS.get(event, PtraceEvent.OTHER)
