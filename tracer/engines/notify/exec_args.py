"""Reads the arguments of an exec from the caller's memory, while the call waits (execve(2)).

After the exec /proc shows the same, but reading it from a new process takes ten times as long.
"""

from __future__ import annotations

import mmap
import os
from struct import unpack_from
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.memory import MemoryReader

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call import StoppedCall

_MAX_ARGUMENTS = 6
"""With more arguments /proc is faster."""


class ExecArgumentReader:
    """Reads the memory of processes that execute a program: only one thread may use it."""

    def __init__(self) -> None:
        self._memory = MemoryReader()

    def read_arguments(self, stop: StoppedCall) -> tuple[str, ...] | None:
        """The argument vector of an exec call; None where /proc must be read instead."""
        name = stop.call.signature.paths[0].path
        if name is None:
            return None
        address, wide = stop.args[name + 1], stop.call.wide
        room = mmap.PAGESIZE - (address & (mmap.PAGESIZE - 1))
        length = min((_MAX_ARGUMENTS + 1) * wide, room - room % wide)
        try:
            vector = self._memory.block(stop.tid, address, length)
            pointers = unpack_from(f"{len(vector) // wide}{'Q' if wide == 8 else 'I'}", vector)
            count = pointers.index(0)
            arguments = [self._memory.string(stop.tid, pointer) for pointer in pointers[:count]]
        except (OSError, ValueError):
            return None
        if not arguments or None in arguments:
            return None
        return tuple(os.fsdecode(raw) for raw in arguments if raw is not None)

    def is_replaced(self, process: int, address: int) -> bool:
        """Whether a process has no memory where its code was: it runs a new program.

        False is no proof of the contrary.
        """
        return self._memory.is_unmapped(process, address)
