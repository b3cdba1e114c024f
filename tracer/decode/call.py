"""A stopped call, and the verdict of the decoder on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.tracer.syscalls.abi import Call
    from slimtrace.tracer.trace.trace import PathState, Use


def descriptor(argument: int) -> int:
    """A descriptor as the kernel takes it from an argument: the low 32 bits, signed."""
    value = argument & 0xFFFFFFFF
    return value - (value >> 31 << 32)


class StoppedCall(NamedTuple):
    """A thread that waits until its call is answered.

    :ivar process: the process image that the thread runs.
    :ivar args: six unsigned 64-bit arguments.
    :ivar path: the call's only path, made absolute, if it was read already.
    """

    tid: int
    process: int
    call: Call
    args: Sequence[int]
    path: bytes | None = None

    def fd(self, argument: int) -> int:
        """The descriptor in an argument, by its number from 0."""
        return descriptor(self.args[argument])

    @property
    def flags(self) -> int:
        """The value of the flags argument (Signature.flags), 32 bits; 0 where there is none."""
        at = self.call.signature.flags
        return 0 if at is None else self.args[at] & 0xFFFFFFFF


class CallVerdict(NamedTuple):
    """What the engine, which answers the caller, and the cache of calls need to know.

    :ivar touches: what the same call would touch again, whoever makes it; None where that
        cannot be known beforehand.
    :ivar missing: the path that was missing, and whether symlinks are followed: the touches are
        the same as long as nothing is there.
    :ivar refuse: the errno to answer with, or None to let the call go on.
    """

    touches: Sequence[tuple[Use, PathState]] | None = None
    missing: tuple[bytes, bool] | None = None
    refuse: int | None = None


UNCACHED = CallVerdict()
"""Let the call go on, and decode the next one like it."""
