"""The registers of a stopped thread: to change a call, or make it again after a signal.

Only x86_64 shows at a signal-delivery stop that a call will be restarted or fail with EINTR:
aarch64 has moved the program counter by then (arch/arm64/kernel/signal.c, do_signal).
"""

from __future__ import annotations

import ctypes
import errno
import platform
from typing import Any, NamedTuple

from ptrace.binding.func import ptrace_getregs, ptrace_setregs
from ptrace.error import PtraceError

from slimtrace.tracer.kernel.ptrace import write_register_set

_ARGUMENTS_64 = ("rdi", "rsi", "rdx", "r10", "r8", "r9")  # syscall(2)
_ARGUMENTS_32 = ("rbx", "rcx", "rdx", "rsi", "rdi", "rbp")
_CODE_32 = 0x23  # __USER32_CS
_ERESTARTSYS = 512  # linux/errno.h: the call is made again, or fails with EINTR by SA_RESTART
_ERESTARTNOINTR = 513  # the call is made again, with or without SA_RESTART

_NT_ARM_SYSTEM_CALL = 0x404  # linux/elf.h

AVAILABLE = platform.machine() == "x86_64"
"""Whether the functions about interrupted calls work on this machine."""


class InterruptedCall(NamedTuple):
    """A call that ended because of a signal: its number, arguments, and whether it is i386's."""

    number: int
    arguments: tuple[int, ...]
    is_32_bit: bool


def refuse_call(tid: int, number: int) -> None:
    """Make the call at whose beginning a thread stopped fail with errno ``number``.

    The kernel skips a call whose number is -1 (seccomp(2), SECCOMP_RET_TRACE).
    """
    if AVAILABLE:
        _write_registers(tid, {"orig_rax": (1 << 64) - 1, "rax": (1 << 64) - number})
    else:
        _write_registers(tid, {"r0": (1 << 64) - number})
        write_register_set(tid, _NT_ARM_SYSTEM_CALL, (ctypes.c_int32 * 1)(-1))


def set_first_argument(tid: int, value: int) -> None:
    """Change the first argument of the call at whose beginning a thread stopped."""
    if not AVAILABLE:
        _write_registers(tid, {"r0": value})
        return
    registers = _read_registers(tid)
    if registers is not None:
        names = _ARGUMENTS_32 if registers.cs == _CODE_32 else _ARGUMENTS_64
        _write_registers(tid, {names[0]: value})


def read_interrupted_call(tid: int) -> InterruptedCall | None:
    """The call that the signal about to be delivered interrupted, or None."""
    registers = _read_registers(tid) if AVAILABLE else None
    if registers is None or registers.rax & 0xFFFFFFFF != (1 << 32) - _ERESTARTSYS:
        return None
    is_32_bit = registers.cs == _CODE_32
    names = _ARGUMENTS_32 if is_32_bit else _ARGUMENTS_64
    mask = 0xFFFFFFFF if is_32_bit else (1 << 64) - 1
    arguments = tuple(getattr(registers, name) & mask for name in names)
    return InterruptedCall(registers.orig_rax & 0xFFFFFFFF, arguments, is_32_bit)


def restart_call(tid: int) -> None:
    """Have an interrupted call made again after the signal's handler."""
    _write_registers(tid, {"rax": (1 << 64) - _ERESTARTNOINTR})


def has_failed_with_eintr(tid: int) -> bool:
    """Whether the thread stopped at the end of a call that fails with EINTR.

    The kernel restarts calls after a stop, except for a few, such as epoll_wait (signal(7),
    Interruption by stop signals). Only x86_64 shows them here.
    """
    registers = _read_registers(tid) if AVAILABLE else None
    if registers is None:
        return False
    number, result = registers.orig_rax & 0xFFFFFFFF, registers.rax & 0xFFFFFFFF
    return bool(number < 1 << 31 and result == (1 << 32) - errno.EINTR)


def _read_registers(tid: int) -> Any | None:
    """Struct user_regs_struct (sys/user.h) or user_pt_regs; None when the tracee is gone."""
    try:
        return ptrace_getregs(tid)
    except PtraceError:
        return None


def _write_registers(tid: int, values: dict[str, int]) -> None:
    """Change some general registers, by name."""
    registers = _read_registers(tid)
    if registers is None:
        return
    for name, value in values.items():
        setattr(registers, name, value)
    try:
        ptrace_setregs(tid, registers)
    except PtraceError:
        return
