"""What python-ptrace's bindings lack: SEIZE, LISTEN and the options and stops that go with it.

Source: ptrace(2). Numbers come from python-ptrace; calls keep the interpreter lock, because a
request on a stopped tracee returns at once.
"""

from __future__ import annotations

from ctypes import addressof, c_ulong

from ptrace.binding.func import (
    PTRACE_CONT,
    PTRACE_EVENT_CLONE,
    PTRACE_EVENT_EXEC,
    PTRACE_EVENT_FORK,
    PTRACE_EVENT_VFORK,
    PTRACE_GETEVENTMSG,
    PTRACE_O_TRACECLONE,
    PTRACE_O_TRACEEXEC,
    PTRACE_O_TRACEFORK,
    PTRACE_O_TRACEVFORK,
)

from tracer.kernel.libc import keeping, last_error

__all__ = [
    "EVENT_STOP",
    "FOLLOW",
    "PTRACE_EVENT_CLONE",
    "PTRACE_EVENT_EXEC",
    "PTRACE_EVENT_FORK",
    "PTRACE_EVENT_VFORK",
    "WAIT_OURS",
    "event_message",
    "listen",
    "request",
    "resume",
    "seize",
]

_SEIZE = 0x4206
_LISTEN = 0x4208
_O_EXITKILL = 0x00100000  # Linux 3.8
EVENT_STOP = 128

FOLLOW = (
    PTRACE_O_TRACEFORK
    | PTRACE_O_TRACEVFORK
    | PTRACE_O_TRACECLONE
    | PTRACE_O_TRACEEXEC
    | _O_EXITKILL
)
"""Follow every birth and exec; when the tracer dies, however it dies, so do its tracees."""

WAIT_OURS = 0x40000000 | 0x20000000
"""__WALL | __WNOTHREAD (waitpid(2)): threads too, but only of the thread that waits, so that
the programs which drive the app, started by another thread, are left to it."""

_ptrace = keeping.ptrace
_ptrace.argtypes = (c_ulong, c_ulong, c_ulong, c_ulong)


def seize(pid: int, options: int = FOLLOW) -> None:
    """Trace a process without stopping it.

    :raises OSError: EPERM where that is forbidden or it is traced already, ESRCH.
    """
    if _ptrace(_SEIZE, pid, 0, options) != 0:
        raise last_error(f"process {pid}")


def request(number: int, tid: int, address: int) -> bool:
    """A request that reads or writes a block at ``address``. False when the tracee is gone."""
    return bool(_ptrace(number, tid, 0, address) == 0)


def resume(tid: int, signal: int = 0) -> bool:
    """Let a stopped tracee run, delivering ``signal``. False when it was killed meanwhile."""
    return bool(_ptrace(PTRACE_CONT, tid, 0, signal) == 0)


def listen(tid: int) -> bool:
    """Leave a tracee in group-stop, to hear of its SIGCONT. False when it was killed."""
    return bool(_ptrace(_LISTEN, tid, 0, 0) == 0)


def event_message(tid: int) -> int | None:
    """What the event is about (a new thread's id, an old thread id), or None if killed."""
    message = c_ulong()
    if _ptrace(PTRACE_GETEVENTMSG, tid, 0, addressof(message)) != 0:
        return None
    return int(message.value)
