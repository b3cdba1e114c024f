"""What a decoder is given and what it answers."""

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
    """A thread that waits at a call.

    :ivar process: the process image that the thread runs.
    :ivar args: six unsigned 64-bit arguments.
    :ivar path: the call's one path, made absolute, where it was read already.
    """

    tid: int
    process: int
    call: Call
    args: Sequence[int]
    path: bytes | None = None

    def fd(self, argument: int) -> int:
        return descriptor(self.args[argument])

    @property
    def flags(self) -> int:
        """The argument that the call's signature calls its flags; 0 where it has none."""
        at = self.call.signature.flags
        return 0 if at is None else self.args[at] & 0xFFFFFFFF


class CallVerdict(NamedTuple):
    """What the answer to the caller and the cache of seen calls need to know.

    :ivar touches: what the same call would touch again, whoever makes it; None where that
        cannot be known beforehand.
    :ivar absent: the path that was missing, and whether links are followed: the touches are the
        same as long as nothing lies there.
    :ivar refuse: the errno to answer with, or None to let the call go on.
    """

    touches: Sequence[tuple[Use, PathState]] | None = None
    absent: tuple[bytes, bool] | None = None
    refuse: int | None = None


ONCE = CallVerdict()
