"""What python-ptrace's bindings lack: SEIZE, LISTEN and the options and stops that go with it.

Source: ptrace(2). Numbers come from python-ptrace; calls keep the interpreter lock, because a
request on a stopped tracee returns at once.
"""

from __future__ import annotations

from ctypes import Array, Structure, addressof, c_size_t, c_uint64, c_ulong, c_void_p, sizeof
from typing import Any, NamedTuple

from ptrace.binding.func import (
    PTRACE_CONT,
    PTRACE_DETACH,
    PTRACE_EVENT_CLONE,
    PTRACE_EVENT_EXEC,
    PTRACE_EVENT_FORK,
    PTRACE_EVENT_VFORK,
    PTRACE_GETEVENTMSG,
    PTRACE_O_TRACECLONE,
    PTRACE_O_TRACEEXEC,
    PTRACE_O_TRACEFORK,
    PTRACE_O_TRACEVFORK,
    PTRACE_POKEDATA,
    PTRACE_SYSCALL,
)

from slimtrace.tracer.kernel.libc import keeping, last_error

__all__ = [
    "EVENT_SECCOMP",
    "EVENT_STOP",
    "FOLLOW",
    "KILL_WITH_TRACER",
    "MARK_CALL_STOPS",
    "PTRACE_EVENT_CLONE",
    "PTRACE_EVENT_EXEC",
    "PTRACE_EVENT_FORK",
    "PTRACE_EVENT_VFORK",
    "STOP_AT_FILTER",
    "WAIT_ALL",
    "WAIT_OWN",
    "SyscallEntry",
    "SyscallInfo",
    "detach",
    "event_message",
    "get_register_set",
    "interrupt",
    "listen",
    "poke",
    "request",
    "resume",
    "resume_to_call",
    "seize",
    "set_register_set",
]

_GETREGSET, _SETREGSET = 0x4204, 0x4205
_SEIZE = 0x4206
_INTERRUPT = 0x4207
_LISTEN = 0x4208
_GET_SYSCALL_INFO = 0x420E  # Linux 5.3
_O_TRACESYSGOOD = 1
_O_TRACESECCOMP = 0x80
_O_EXITKILL = 0x00100000  # Linux 3.8
EVENT_SECCOMP = 7
EVENT_STOP = 128

FOLLOW = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC
"""Follow every birth and exec."""
KILL_WITH_TRACER = _O_EXITKILL
"""When the tracer dies, however it dies, so do its tracees."""
STOP_AT_FILTER = _O_TRACESECCOMP
"""Stop at the calls for which a filter answers SECCOMP_RET_TRACE."""
MARK_CALL_STOPS = _O_TRACESYSGOOD
"""Mark the stops of resume_to_call."""

WAIT_ALL = 0x40000000
"""__WALL (waitpid(2)): threads and processes alike."""
WAIT_OWN = WAIT_ALL | 0x20000000
"""With __WNOTHREAD: threads too, but only of the thread that waits, so that
the programs which drive the app, started by another thread, are left to it."""

_ptrace = keeping.ptrace
_ptrace.argtypes = (c_ulong, c_ulong, c_ulong, c_ulong)


def seize(pid: int, options: int) -> None:
    """Trace a process without stopping it.

    :raises OSError: EPERM where that is forbidden or it is traced already, ESRCH.
    """
    if _ptrace(_SEIZE, pid, 0, options) != 0:
        raise last_error(f"process {pid}")


def request(number: int, tid: int, address: int) -> bool:
    """A request that reads or writes a block at ``address``. False when the tracee is gone."""
    return bool(_ptrace(number, tid, 0, address) == 0)


class _Vector(Structure):  # struct iovec
    _fields_ = (("base", c_void_p), ("length", c_size_t))


def get_register_set(tid: int, kind: int, into: Array[Any]) -> bool:
    """Read the registers of a kind (NT_*). False when the tracee is gone."""
    vector = _Vector(addressof(into), sizeof(into))
    return bool(_ptrace(_GETREGSET, tid, kind, addressof(vector)) == 0)


def set_register_set(tid: int, kind: int, values: Array[Any]) -> bool:
    """Write the registers of a kind (NT_*). False when the tracee is gone."""
    vector = _Vector(addressof(values), sizeof(values))
    return bool(_ptrace(_SETREGSET, tid, kind, addressof(vector)) == 0)


def poke(tid: int, address: int, word: int) -> bool:
    """Write 8 bytes into a stopped tracee's memory. False when it is gone, or has none there."""
    return bool(_ptrace(PTRACE_POKEDATA, tid, address, word) == 0)


def resume(tid: int, signal: int = 0) -> bool:
    """Let a stopped tracee run, delivering ``signal``. False when it was killed meanwhile."""
    return bool(_ptrace(PTRACE_CONT, tid, 0, signal) == 0)


def resume_to_call(tid: int, signal: int = 0) -> bool:
    """The same, but to the next beginning or end of a call. False when it was killed."""
    return bool(_ptrace(PTRACE_SYSCALL, tid, 0, signal) == 0)


def interrupt(tid: int) -> bool:
    """Have a seized thread stop, wherever it is. False when it is gone."""
    return bool(_ptrace(_INTERRUPT, tid, 0, 0) == 0)


def detach(tid: int, signal: int = 0) -> bool:
    """Let a stopped tracee go for good, delivering ``signal``. False when it was killed."""
    return bool(_ptrace(PTRACE_DETACH, tid, 0, signal) == 0)


def listen(tid: int) -> bool:
    """Leave a tracee in group-stop, to hear of its SIGCONT. False when it was killed."""
    return bool(_ptrace(_LISTEN, tid, 0, 0) == 0)


def event_message(tid: int) -> int | None:
    """What the event is about (a new thread's id, an old thread id), or None if killed."""
    message = c_ulong()
    if _ptrace(PTRACE_GETEVENTMSG, tid, 0, addressof(message)) != 0:
        return None
    return int(message.value)


class SyscallEntry(NamedTuple):
    """A call that a stopped thread is about to make.

    :ivar key: arch<<32|number, as a seccomp notification's third u64 holds it.
    :ivar args: six unsigned 64-bit arguments.
    """

    key: int
    args: list[int]


class SyscallInfo:
    """One buffer for PTRACE_GET_SYSCALL_INFO, reused: for one thread."""

    _ENTRY, _SECCOMP = 1, 3  # PTRACE_SYSCALL_INFO_*

    def __init__(self) -> None:
        self._buffer = (c_uint64 * 11)()  # struct ptrace_syscall_info
        self._address = addressof(self._buffer)

    def entry(self, tid: int) -> SyscallEntry | None:
        """The call that is about to begin; None at a call's end, or when the tracee is gone."""
        if _ptrace(_GET_SYSCALL_INFO, tid, 88, self._address) <= 0:
            return None
        words = self._buffer
        if words[0] & 0xFF not in (self._ENTRY, self._SECCOMP):
            return None
        return SyscallEntry(words[0] >> 32 << 32 | words[3] & 0xFFFFFFFF, list(words[4:10]))
