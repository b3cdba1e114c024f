"""The registers of a stopped thread, as far as a call that a signal interrupted needs them.

Only x86_64 shows at a signal-delivery stop that a call will be restarted or fail with EINTR:
aarch64 has moved the program counter by then (arch/arm64/kernel/signal.c, do_signal).
"""

from __future__ import annotations

import ctypes
import platform
from dataclasses import dataclass

from ptrace.binding.func import PTRACE_GETREGS, PTRACE_SETREGS

from tracer.kernel.ptrace import request

_AX, _ORIG_AX, _CS = 10, 15, 17  # places in struct user_regs_struct (sys/user.h)
_ARGUMENTS_64 = (14, 13, 12, 7, 9, 8)  # di, si, dx, r10, r8, r9 (syscall(2))
_ARGUMENTS_32 = (5, 11, 12, 13, 14, 4)  # bx, cx, dx, si, di, bp
_CODE_32 = 0x23  # __USER32_CS
_ERESTARTSYS = 512  # linux/errno.h: the call is made again, or fails with EINTR by SA_RESTART
_ERESTARTNOINTR = 513  # it is made again whatever the handler asked for

AVAILABLE = platform.machine() == "x86_64"


@dataclass(frozen=True, slots=True)
class InterruptedCall:
    """A call that ended because of a signal: its number, arguments, and whether it is i386's."""

    number: int
    arguments: tuple[int, ...]
    is_32_bit: bool


class Registers:
    """One buffer for the registers of one stopped thread after the other."""

    def __init__(self) -> None:
        self._buffer = (ctypes.c_uint64 * 27)()

    def interrupted(self, tid: int) -> InterruptedCall | None:
        """The call that the signal about to be delivered interrupted, or None."""
        if not request(PTRACE_GETREGS, tid, ctypes.addressof(self._buffer)):
            return None
        words = self._buffer
        if words[_AX] & 0xFFFFFFFF != (1 << 32) - _ERESTARTSYS:
            return None
        is_32_bit = words[_CS] == _CODE_32
        places = _ARGUMENTS_32 if is_32_bit else _ARGUMENTS_64
        mask = 0xFFFFFFFF if is_32_bit else (1 << 64) - 1
        arguments = tuple(words[place] & mask for place in places)
        return InterruptedCall(words[_ORIG_AX] & 0xFFFFFFFF, arguments, is_32_bit)

    def make_again(self, tid: int) -> None:
        """Have the call that was just asked about made again after the signal's handler."""
        self._buffer[_AX] = (1 << 64) - _ERESTARTNOINTR
        request(PTRACE_SETREGS, tid, ctypes.addressof(self._buffer))
