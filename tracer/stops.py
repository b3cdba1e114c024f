"""A wait status becomes one of a closed set of stops, once, here (ptrace(2), wait(2))."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from enum import Enum

from tracer.kernel import ptrace

_GROUP_STOPS = frozenset({signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})


@dataclass(frozen=True, slots=True)
class Exited:
    """The thread is gone. ``status`` as a shell says it: 128+N for signal N."""

    status: int
    signal: int | None


@dataclass(frozen=True, slots=True)
class SignalDelivery:
    """A signal is about to be delivered."""

    signal: int


class Event(Enum):
    """Stops that carry nothing more than their kind."""

    BIRTH = "birth"
    """The tracee made a process or thread."""
    EXEC = "exec"
    GROUP_STOP = "group-stop"
    """The process is stopped, as job control does; it stays so until SIGCONT."""
    FIRST_STOP = "first-stop"
    """A new tracee before its first instruction, or a trap after PTRACE_LISTEN."""
    OTHER = "other"


Stop = Exited | SignalDelivery | Event

_EVENTS = {
    ptrace.PTRACE_EVENT_FORK: Event.BIRTH,
    ptrace.PTRACE_EVENT_VFORK: Event.BIRTH,
    ptrace.PTRACE_EVENT_CLONE: Event.BIRTH,
    ptrace.PTRACE_EVENT_EXEC: Event.EXEC,
}


def decode_status(status: int) -> Stop:
    """What a status from waitpid(2) says, for a tracee that was seized."""
    if not os.WIFSTOPPED(status):
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            return Exited(128 + number, number)
        return Exited(os.WEXITSTATUS(status), None)
    number, event = status >> 8 & 0xFF, status >> 16 & 0xFFFF
    if event == 0:
        return SignalDelivery(number)
    if event == ptrace.EVENT_STOP:
        return Event.GROUP_STOP if number in _GROUP_STOPS else Event.FIRST_STOP
    return _EVENTS.get(event, Event.OTHER)
