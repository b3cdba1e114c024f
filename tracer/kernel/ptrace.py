"""ptrace requests: python-ptrace's calls where it has them, and what it lacks (ptrace(2)).

python-ptrace knows the ptrace of Linux 2.6, plus the register sets. Its ``ptrace_cont``,
``ptrace_syscall``, ``ptrace_detach``, ``ptrace_getregs`` and ``ptrace_setregs`` are used as they
are. Its generic ``ptrace`` makes the requests for which it has no function: INTERRUPT, LISTEN and
a register set other than the general one. Two more go through it for a reason:

- GETEVENTMSG: ``ptrace_geteventmsg`` gives the kernel a 4-byte buffer for an 8-byte answer.
- POKEDATA: ``ptrace_pokedata`` refuses an address that is not aligned; the kernel does not.

Two requests keep our own ctypes call. SEIZE, because the caller must know the errno, and the C
module that python-ptrace takes where it is installed loses it. GET_SYSCALL_INFO, because it is made
at every stop, and its result is a length.
"""

from __future__ import annotations

from ctypes import Array, addressof, c_uint64, c_ulong, sizeof
from typing import Any, NamedTuple

from ptrace.binding.func import (
    PTRACE_EVENT_CLONE,
    PTRACE_EVENT_EXEC,
    PTRACE_EVENT_FORK,
    PTRACE_EVENT_VFORK,
    PTRACE_GETEVENTMSG,
    PTRACE_O_TRACECLONE,
    PTRACE_O_TRACEEXEC,
    PTRACE_O_TRACEFORK,
    PTRACE_O_TRACESYSGOOD,
    PTRACE_O_TRACEVFORK,
    PTRACE_POKEDATA,
    PTRACE_SETREGSET,
    THREAD_TRACE_FLAGS,
    ptrace_cont,
    ptrace_detach,
    ptrace_syscall,
)
from ptrace.binding.func import ptrace as make_request
from ptrace.binding.linux_struct import iovec_struct
from ptrace.error import PtraceError

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
    "interrupt",
    "listen",
    "poke",
    "read_event_message",
    "resume",
    "resume_to_call",
    "seize",
    "write_register_set",
]

_PTRACE_SEIZE = 0x4206
_PTRACE_INTERRUPT = 0x4207
_PTRACE_LISTEN = 0x4208
_PTRACE_GET_SYSCALL_INFO = 0x420E  # Linux 5.3
_PTRACE_O_TRACESECCOMP = 0x80
_PTRACE_O_EXITKILL = 0x00100000  # Linux 3.8
_WNOTHREAD = 0x20000000
EVENT_SECCOMP = 7
EVENT_STOP = 128

FOLLOW = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC
"""Follow every birth and exec."""
KILL_WITH_TRACER = _PTRACE_O_EXITKILL
"""The kernel kills the tracees when the tracer ends, for whatever reason."""
STOP_AT_FILTER = _PTRACE_O_TRACESECCOMP
"""Stop at the calls for which a filter answers SECCOMP_RET_TRACE."""
MARK_CALL_STOPS = PTRACE_O_TRACESYSGOOD
"""Set bit 7 of the signal number in the stops of :func:`resume_to_call`."""

WAIT_ALL = THREAD_TRACE_FLAGS
"""__WALL (waitpid(2)): threads and processes alike."""
WAIT_OWN = WAIT_ALL | _WNOTHREAD
"""Threads too, but only the tracees and children of the thread that waits.

Programs that drive the app are started by another thread, which waits for them.
"""

_ptrace = keeping.ptrace
_ptrace.argtypes = (c_ulong, c_ulong, c_ulong, c_ulong)


def seize(pid: int, options: int) -> None:
    """Trace a process without stopping it.

    :raises OSError: EPERM where that is forbidden or it is traced already, ESRCH.
    """
    if _ptrace(_PTRACE_SEIZE, pid, 0, options) != 0:
        raise last_error(f"process {pid}")


def resume(tid: int, signal: int = 0) -> bool:
    """Let a stopped tracee run, and deliver ``signal``. False when it was killed meanwhile."""
    try:
        ptrace_cont(tid, signal)
    except PtraceError:
        return False
    return True


def resume_to_call(tid: int, signal: int = 0) -> bool:
    """As :func:`resume`, but only to the next beginning or end of a call."""
    try:
        ptrace_syscall(tid, signal)
    except PtraceError:
        return False
    return True


def detach(tid: int, signal: int = 0) -> bool:
    """Stop tracing a stopped tracee, and deliver ``signal``. False when it was killed."""
    try:
        ptrace_detach(tid, signal)
    except PtraceError:
        return False
    return True


def interrupt(tid: int) -> bool:
    """Make a seized thread stop, wherever it is. False when it is gone."""
    return _request(_PTRACE_INTERRUPT, tid)


def listen(tid: int) -> bool:
    """Leave a tracee in group-stop, but report its SIGCONT. False when it was killed."""
    return _request(_PTRACE_LISTEN, tid)


def poke(tid: int, address: int, value: int) -> bool:
    """Write 8 bytes into a stopped tracee's memory. False when that is not possible."""
    return _request(PTRACE_POKEDATA, tid, address, value)


def write_register_set(tid: int, kind: int, values: Array[Any]) -> bool:
    """Write the registers of a kind (NT_*, linux/elf.h). False when the tracee is gone."""
    vector = iovec_struct()
    vector.buf, vector.len = addressof(values), sizeof(values)
    return _request(PTRACE_SETREGSET, tid, kind, addressof(vector))


def read_event_message(tid: int) -> int | None:
    """The message of an event (a new thread's id, a former thread id), or None if killed."""
    message = c_ulong()
    if not _request(PTRACE_GETEVENTMSG, tid, 0, addressof(message)):
        return None
    return message.value


def _request(number: int, tid: int, address: int = 0, data: int = 0) -> bool:
    """Make a request; False when the tracee is gone, or not stopped where it must be."""
    try:
        make_request(number, tid, address, data)
    except PtraceError:
        return False
    return True


class SyscallEntry(NamedTuple):
    """A call that a stopped thread is about to make.

    :ivar key: arch<<32|number, as in the third u64 of a seccomp notification.
    :ivar args: six unsigned 64-bit arguments.
    """

    key: int
    args: list[int]


class SyscallInfo:
    """One buffer for PTRACE_GET_SYSCALL_INFO, reused: only one thread may use it."""

    _ENTRY, _SECCOMP = 1, 3  # PTRACE_SYSCALL_INFO_*

    def __init__(self) -> None:
        self._buffer = (c_uint64 * 11)()  # struct ptrace_syscall_info
        self._address = addressof(self._buffer)

    def read_entry(self, tid: int) -> SyscallEntry | None:
        """The call that is about to begin; None at a call's end, or when the tracee is gone."""
        if _ptrace(_PTRACE_GET_SYSCALL_INFO, tid, 88, self._address) <= 0:
            return None
        fields = self._buffer
        if fields[0] & 0xFF not in (self._ENTRY, self._SECCOMP):
            return None
        return SyscallEntry(fields[0] >> 32 << 32 | fields[3] & 0xFFFFFFFF, list(fields[4:10]))
