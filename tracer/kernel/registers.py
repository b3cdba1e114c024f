"""The registers of a stopped thread, as far as a call that a signal interrupted needs them.

Only x86_64 shows at a signal-delivery stop that a call will be restarted or fail with EINTR:
aarch64 has moved the program counter by then (arch/arm64/kernel/signal.c, do_signal).
"""

from __future__ import annotations

import ctypes
import errno
import platform
from typing import NamedTuple

from slimtrace.tracer.kernel.ptrace import get_register_set, request, set_register_set

_GETREGS, _SETREGS = 12, 13  # sys/ptrace.h; python-ptrace has none on aarch64, as the kernel
_AX, _ORIG_AX, _CS = 10, 15, 17  # places in struct user_regs_struct (sys/user.h)
_ARGUMENTS_64 = (14, 13, 12, 7, 9, 8)  # di, si, dx, r10, r8, r9 (syscall(2))
_ARGUMENTS_32 = (5, 11, 12, 13, 14, 4)  # bx, cx, dx, si, di, bp
_CODE_32 = 0x23  # __USER32_CS
_ERESTARTSYS = 512  # linux/errno.h: the call is made again, or fails with EINTR by SA_RESTART
_ERESTARTNOINTR = 513  # it is made again whatever the handler asked for

_NT_PRSTATUS, _NT_ARM_SYSTEM_CALL = 1, 0x404  # linux/elf.h

AVAILABLE = platform.machine() == "x86_64"
_WORDS = 27 if AVAILABLE else 34  # of the general registers


class InterruptedCall(NamedTuple):
    """A call that ended because of a signal: its number, arguments, and whether it is i386's."""

    number: int
    arguments: tuple[int, ...]
    is_32_bit: bool


def refuse_call(tid: int, number: int) -> None:
    """Have the call at whose beginning a thread stopped fail with errno ``number``, unmade.

    The kernel skips a call whose number is -1 (seccomp(2), SECCOMP_RET_TRACE).
    """
    if AVAILABLE:
        _change(tid, {_ORIG_AX: (1 << 64) - 1, _AX: (1 << 64) - number})
    else:
        _change(tid, {0: (1 << 64) - number})
        set_register_set(tid, _NT_ARM_SYSTEM_CALL, (ctypes.c_int32 * 1)(-1))


def set_first_argument(tid: int, value: int) -> None:
    """Change the first argument of the call at whose beginning a thread stopped."""
    general = (ctypes.c_uint64 * _WORDS)()
    if AVAILABLE and get_register_set(tid, _NT_PRSTATUS, general):
        is_32_bit = general[_CS] == _CODE_32
        _change(tid, {(_ARGUMENTS_32 if is_32_bit else _ARGUMENTS_64)[0]: value})
    elif not AVAILABLE:
        _change(tid, {0: value})


def _change(tid: int, values: dict[int, int]) -> None:
    """Set general registers, by their place in struct user_regs_struct or user_pt_regs."""
    general = (ctypes.c_uint64 * _WORDS)()
    if get_register_set(tid, _NT_PRSTATUS, general):
        for place, value in values.items():
            general[place] = value
        set_register_set(tid, _NT_PRSTATUS, general)


def _has_signal(tid: int) -> bool:
    """Whether a signal waits to be delivered to a thread (proc(5), status)."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            fields = dict(line.split(b":", 1) for line in file)
    except OSError:
        return False
    pending = int(fields[b"SigPnd"], 16) | int(fields[b"ShdPnd"], 16)
    return bool(pending & ~int(fields[b"SigBlk"], 16))


class Registers:
    """One buffer for the registers of one stopped thread after the other."""

    def __init__(self) -> None:
        self._buffer = (ctypes.c_uint64 * 27)()

    def interrupted(self, tid: int) -> InterruptedCall | None:
        """The call that the signal about to be delivered interrupted, or None."""
        if not request(_GETREGS, tid, ctypes.addressof(self._buffer)):
            return None
        words = self._buffer
        if words[_AX] & 0xFFFFFFFF != (1 << 32) - _ERESTARTSYS:
            return None
        is_32_bit = words[_CS] == _CODE_32
        places = _ARGUMENTS_32 if is_32_bit else _ARGUMENTS_64
        mask = 0xFFFFFFFF if is_32_bit else (1 << 64) - 1
        arguments = tuple(words[place] & mask for place in places)
        return InterruptedCall(words[_ORIG_AX] & 0xFFFFFFFF, arguments, is_32_bit)

    def spare(self, tid: int) -> None:
        """Have a call made again that ended because we stopped the thread, and nothing else did.

        The kernel does so itself but for the few calls that say EINTR whatever stops them, as
        epoll_wait (signal(7), Interruption by stop signals). Only x86_64 shows them here.
        """
        if AVAILABLE and request(_GETREGS, tid, ctypes.addressof(self._buffer)):
            number = self._buffer[_ORIG_AX] & 0xFFFFFFFF
            ended = self._buffer[_AX] & 0xFFFFFFFF
            if number < 1 << 31 and ended == (1 << 32) - errno.EINTR and not _has_signal(tid):
                self.make_again(tid)

    def make_again(self, tid: int) -> None:
        """Have the call that was just asked about made again after the signal's handler."""
        self._buffer[_AX] = (1 << 64) - _ERESTARTNOINTR
        request(_SETREGS, tid, ctypes.addressof(self._buffer))
