"""The commonest calls by far: a path is looked at, or opened to be read, and no rule is special.

What such a call touches follows from its path and flags alone. It is decoded here as Files
decodes it, in a third of the time; the rest is left to Files.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.decode.call import CallVerdict
from slimtrace.tracer.decode.path_arguments import LOOKS
from slimtrace.tracer.paths import KERNELS
from slimtrace.tracer.process.root_view import is_directory
from slimtrace.tracer.syscalls.table import (
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    O_ACCMODE,
    O_CREAT,
    O_PATH,
    O_TRUNC,
    CallMeaning,
    Follow,
)
from slimtrace.tracer.trace.trace import PathState, State, Use

if TYPE_CHECKING:
    from slimtrace.tracer.decode.path_arguments import PathResolver
    from slimtrace.tracer.decode.touches import TouchRecorder
    from slimtrace.tracer.record.recorder import Recorder
    from slimtrace.tracer.syscalls.table import Signature

_FOLLOWS = {
    Follow.YES: (True, 0),
    Follow.NO: (False, 0),
    Follow.UNLESS_NOFOLLOW: (True, AT_SYMLINK_NOFOLLOW),
    Follow.IF_FOLLOW: (False, AT_SYMLINK_FOLLOW),
}
_MORE_THAN_READ = O_ACCMODE | O_CREAT | O_TRUNC | O_PATH | (os.O_TMPFILE & ~os.O_DIRECTORY)


class PlainCall(NamedTuple):
    """How to decode a call that may be one of these.

    :ivar more: flags with any of which it is none.
    :ivar follows: whether a symlink in the last component is followed.
    :ivar switch: flags with any of which it is the other way round.
    """

    use: Use
    more: int
    follows: bool
    switch: int


def glance_of(signature: Signature) -> PlainCall | None:
    """For a call whose one path is looked at or opened; None for others."""
    if len(signature.paths) != 1:
        return None
    (argument,) = signature.paths
    if signature.meaning is CallMeaning.PLAIN and argument.use in LOOKS:
        return PlainCall(argument.use, 0, *_FOLLOWS[argument.follow])
    if signature.meaning is CallMeaning.OPEN and signature.flags is not None:
        return PlainCall(Use.READ, _MORE_THAN_READ, follows=True, switch=os.O_NOFOLLOW)
    return None


class FastPath:
    """Decodes such calls of one run."""

    def __init__(self, recorder: Recorder, places: PathResolver, touching: TouchRecorder) -> None:
        self._state = recorder.history.state
        self._places = places
        self._touching = touching

    def outcome(self, glance: PlainCall, path: bytes, flags: int) -> CallVerdict | None:
        """What a call touches, which is not recorded yet; None where Files is to decode it."""
        if flags & glance.more or path.startswith(KERNELS):
            return None
        if self._touching.changes_meanings or self._places.depend_on_the_caller:
            return None
        use, follow = glance.use, glance.follows ^ bool(flags & glance.switch)
        state, status = self._state(path, follow=follow)
        if state is State.MISSING:
            return CallVerdict([(use, PathState(path, state, status))], absent=(path, follow))
        if use is Use.READ and is_directory(status):
            use = Use.LIST
        return CallVerdict([(use, PathState(path, state, status))])
