"""A stopped call, and the decoder's verdict on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.tracer.syscalls.abi import Call
    from slimtrace.tracer.trace.trace import PathState, Use


def descriptor(argument: int) -> int:
    """Return the descriptor in an argument as the kernel reads it: the low 32 bits, signed."""
    value = argument & 0xFFFFFFFF
    return value - (value >> 31 << 32)


class StoppedCall(NamedTuple):
    """A call of a thread that waits for our answer.

    :ivar process: the id of the thread's process image.
    :ivar args: six unsigned 64-bit arguments.
    :ivar path: the call's only path, absolute, if it was read already.
    """

    tid: int
    process: int
    call: Call
    args: Sequence[int]
    path: bytes | None = None

    def fd(self, argument: int) -> int:
        """Return the descriptor in an argument; arguments count from 0."""
        return descriptor(self.args[argument])

    @property
    def flags(self) -> int:
        """The value of the flags argument (Signature.flags), 32 bits; 0 if there is none."""
        at = self.call.signature.flags
        return 0 if at is None else self.args[at] & 0xFFFFFFFF


class CallVerdict(NamedTuple):
    """What the engine needs to answer the call, and what the cache may remember of it.

    :ivar touches: what the same call would touch again, from any caller; None if the next such
        call must be decoded again.
    :ivar missing: the path that did not exist, and whether its last symlink is followed.
        ``touches`` is valid as long as the path does not exist.
    :ivar refuse: the errno to answer with, or None to let the call continue.
    """

    touches: Sequence[tuple[Use, PathState]] | None = None
    missing: tuple[bytes, bool] | None = None
    refuse: int | None = None


UNCACHED = CallVerdict()
"""Let the call continue, and decode the next call like it."""
