"""Keeps tracing from making file calls fail with EINTR.

A signal that arrives while a call waits for us interrupts it, and without SA_RESTART it fails
with EINTR, which an open or stat of a plain file never does by itself (signal(7)). From
Linux 5.19 on the kernel holds signals back once we have received the call
(SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV); what is left is the moment before.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from tracer import tracee
from tracer.decode.call import descriptor
from tracer.kernel.memory import MemoryReader
from tracer.kernel.registers import AVAILABLE, InterruptedCall, Registers
from tracer.paths import join
from tracer.syscalls.signatures import AT_FDCWD, Meaning
from tracer.syscalls.tables import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tracer.syscalls.tables import Call

_OPENS = (Meaning.OPEN, Meaning.OPENAT2)
_MAY_WAIT = frozenset(
    """
    connect socketcall io_getevents io_pgetevents io_pgetevents_time64 ipc keyctl mount msgrcv
    msgsnd mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 quotactl
    request_key sync syncfs umount umount2 userfaultfd
    """.split()  # noqa: SIM905 -- as in classes
)
"""Stopped calls that a signal interrupts of right, beside the opens of fifos and devices."""


class Restarts:
    """Looks at each signal before it is delivered; used by the ptrace loop alone."""

    def __init__(self, calls: Mapping[int, Call]) -> None:
        self._calls = calls
        self._registers = Registers()
        self._memory = MemoryReader()

    def before_delivery(self, tid: int) -> None:
        """Have a file call made again that only we made wait."""
        if not AVAILABLE:
            return
        interrupted = self._registers.interrupted(tid)
        if interrupted is None:
            return
        arch = AUDIT_ARCH_I386 if interrupted.is_32_bit else AUDIT_ARCH_X86_64
        call = self._calls.get(arch << 32 | interrupted.number)
        if call is None:
            return
        if call.signature.meaning in _OPENS:
            again = self._opens_at_once(tid, call, interrupted)
        elif call.name == "connect":
            again = _never_blocks(tid, interrupted.arguments[0])
        else:
            again = call.name not in _MAY_WAIT
        if again:
            self._registers.make_again(tid)

    def _opens_at_once(self, tid: int, call: Call, interrupted: InterruptedCall) -> bool:
        """Whether an open never waits: of a fifo or a terminal it may, and is interrupted."""
        argument = call.signature.paths[0]
        if argument.path is None:
            return False
        raw = self._memory.string(tid, interrupted.arguments[argument.path])
        if not raw:
            return True
        dirfd = AT_FDCWD
        if argument.dirfd is not None:
            dirfd = descriptor(interrupted.arguments[argument.dirfd])
        base = b"/" if raw.startswith(b"/") else tracee.base_directory(tid, dirfd)
        if base is None:
            return True
        try:
            mode = os.stat(tracee.own_view(tid, join(base, raw))).st_mode
        except OSError:
            return True
        return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


def _never_blocks(tid: int, fd: int) -> bool:
    """Whether a descriptor is O_NONBLOCK (proc(5), fdinfo)."""
    try:
        with open(f"/proc/{tid}/fdinfo/{descriptor(fd)}", "rb") as file:
            flags = next(line for line in file if line.startswith(b"flags:"))
    except (OSError, StopIteration):
        return False
    return bool(int(flags.split()[1], 8) & os.O_NONBLOCK)
