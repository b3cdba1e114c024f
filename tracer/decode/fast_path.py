"""Decodes the most common calls: they look at a path, or open it to read.

What such a call touches follows from its path and flags alone. The result is the same as that of
FileDecoder, in a third of the time. All other calls are left to FileDecoder.
"""

from __future__ import annotations

import os
import stat
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


class FastCall(NamedTuple):
    """How to decode a common call.

    :ivar slow_flags: a call with any of these flags is left to FileDecoder.
    :ivar follows: whether a symlink in the last component is followed.
    :ivar follow_flags: with any of these flags, the opposite of ``follows``.
    """

    use: Use
    slow_flags: int
    follows: bool
    follow_flags: int


def find_fast_call(signature: Signature) -> FastCall | None:
    """Return how to decode a call that looks at its only path, or opens it; None for others."""
    if len(signature.paths) != 1:
        return None
    (argument,) = signature.paths
    if signature.meaning is CallMeaning.PLAIN and argument.use in LOOKS:
        return FastCall(argument.use, 0, *_FOLLOWS[argument.follow])
    if signature.meaning is CallMeaning.OPEN and signature.flags is not None:
        return FastCall(Use.READ, _MORE_THAN_READ, follows=True, follow_flags=os.O_NOFOLLOW)
    return None


class FastPath:
    """Decodes the most common calls of one run."""

    def __init__(self, recorder: Recorder, resolver: PathResolver, touches: TouchRecorder) -> None:
        self._state = recorder.history.look_up_state
        self._resolver = resolver
        self._touches = touches

    def decode(self, call: FastCall, path: bytes, flags: int) -> CallVerdict | None:
        """Return what a call touches, without recording it; None if FileDecoder must decode it."""
        if flags & call.slow_flags or path.startswith(KERNELS):
            return None
        if self._touches.has_path_changes or self._resolver.paths_depend_on_caller:
            return None
        use, follow = call.use, call.follows ^ bool(flags & call.follow_flags)
        state, status = self._state(path, follow=follow)
        if state is State.MISSING:
            return CallVerdict([(use, PathState(path, state, status))], missing=(path, follow))
        if use is Use.READ and status is not None:
            if not status.st_mode & stat.S_IROTH:  # the caller may not be allowed to
                return None
            if is_directory(status):
                use = Use.LIST
        return CallVerdict([(use, PathState(path, state, status))])
