"""What an exec under way will make of its caller, read from the caller while it waits (execve(2)).

After the exec /proc says the same, but for ten times the price in a process that is a moment old.
"""

from __future__ import annotations

import mmap
import os
from struct import unpack_from
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.memory import MemoryReader

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call import StoppedCall

_MOST_ARGUMENTS = 6
"""With more it is cheaper to ask /proc."""


class ExecArgumentReader:
    """Reads the memory of callers: for one thread at a time."""

    def __init__(self) -> None:
        self._memory = MemoryReader()

    def arguments(self, stop: StoppedCall) -> tuple[str, ...] | None:
        """The argument vector of an exec call; None where it is to be asked of /proc."""
        name = stop.call.signature.paths[0].path
        if name is None:
            return None
        address, wide = stop.args[name + 1], stop.call.wide
        room = mmap.PAGESIZE - (address & (mmap.PAGESIZE - 1))
        length = min((_MOST_ARGUMENTS + 1) * wide, room - room % wide)
        try:
            vector = self._memory.block(stop.tid, address, length)
            pointers = unpack_from(f"{len(vector) // wide}{'Q' if wide == 8 else 'I'}", vector)
            count = pointers.index(0)
            words = [self._memory.string(stop.tid, pointer) for pointer in pointers[:count]]
        except (OSError, ValueError):
            return None
        if not words or None in words:
            return None
        return tuple(os.fsdecode(word) for word in words if word is not None)

    def is_gone(self, process: int, address: int) -> bool:
        """Whether a process has no memory any more where its code was: it runs a new program.

        False is no proof of the contrary.
        """
        return self._memory.is_unmapped(process, address)
