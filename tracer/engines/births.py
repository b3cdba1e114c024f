"""Has children followed that are made with CLONE_UNTRACED, which keeps them from ptrace.

Only a tracer's own code has a use for the flag (clone(2)); under a filter such a child's calls
would fail, for there is no tracer to ask.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.ptrace import poke
from slimtrace.tracer.kernel.registers import set_first_argument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.tracer.kernel.memory import MemoryReader

CLONE_UNTRACED = 0x00800000


def trace_child(tid: int, call: str, args: Sequence[int], memory: MemoryReader) -> None:
    """Take the flag from the clone or clone3 that a stopped thread is about to make."""
    if call == "clone":
        if args[0] & CLONE_UNTRACED:
            set_first_argument(tid, args[0] & ~CLONE_UNTRACED)
        return
    flags = memory.number(tid, args[0], 8)  # the first member of struct clone_args (clone3(2))
    if flags is not None and flags & CLONE_UNTRACED:
        poke(tid, args[0], flags & ~CLONE_UNTRACED)
