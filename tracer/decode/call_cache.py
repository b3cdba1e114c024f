"""What stopped calls meant: decoded once, and recorded again for whoever makes the same call."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.decode.call import ONCE, CallVerdict, StoppedCall
from slimtrace.tracer.decode.fast_path import PlainCall, glance_of
from slimtrace.tracer.decode.path_arguments import LOOKS
from slimtrace.tracer.kernel.memory import PATH_MAX
from slimtrace.tracer.paths import join
from slimtrace.tracer.syscalls.table import CallMeaning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.tracer.decode.decoder import Decoder
    from slimtrace.tracer.syscalls.abi import Call

Key = tuple[int, bytes | None, bytes, int]
"""arch and number, base directory (empty for an absolute path), path, telling flags."""

_KNOWABLE = (CallMeaning.PLAIN, CallMeaning.OPEN, CallMeaning.EXEC)
_MOST = 20_000
"""An app that execs one program a thousand times makes the same few hundred calls."""


class CallPlan(NamedTuple):
    """For a call with one path: the numbers of its arguments.

    :ivar telling: the bits of the flags that change what is meant.
    :ivar looks: whether the call only looks at the file.
    """

    path: int
    dirfd: int | None
    flags: int | None
    telling: int
    looks: bool


def plan_of(call: Call) -> CallPlan | None:
    """How to make a key for a call; None where each must be decoded."""
    signature = call.signature
    if signature.meaning not in _KNOWABLE or len(signature.paths) != 1:
        return None
    (argument,) = signature.paths
    if argument.path is None:
        return None
    looks = argument.use in LOOKS
    return CallPlan(argument.path, argument.dirfd, signature.flags, signature.telling, looks)


class CallCache:
    """Used by all engines.

    :ivar calls: arch<<32|number to the calls that are stopped.
    """

    def __init__(self, decoder: Decoder, calls: Mapping[int, Call]) -> None:
        self.calls = calls
        self._decoder = decoder
        self._known: dict[Key | None, CallVerdict] = {}
        self._glances: dict[int, PlainCall] = {}  # of the calls that the trace lists already
        self._execs = {k for k, call in calls.items() if call.signature.meaning is CallMeaning.EXEC}

    def decode(self, stop: StoppedCall, key: Key | None) -> CallVerdict:
        """Record what the call is about to do.

        :returns: with ``touches``, if the same call of the same process image says nothing new.
        """
        outcome = self._known.get(key, ONCE)
        if not self._decoder.again(stop, outcome):
            outcome = self._decoder.decode(stop)
            if key is not None and outcome.touches is not None:
                self._remember(key, outcome)
                glance = glance_of(stop.call.signature)
                if glance is not None:
                    self._glances[key[0]] = glance
        return ONCE if stop.call.signature.meaning is CallMeaning.EXEC else outcome

    def known(self, key: Key) -> CallVerdict | None:
        """What a call means that is no exec: as before, or at a glance; else None.

        What it touches is still to be recorded.
        """
        outcome = self._known.get(key)
        if outcome is None:
            return self._at_a_glance(key)
        if key[0] in self._execs or not self._decoder.holds(outcome):
            return None
        return outcome

    def _at_a_glance(self, key: Key) -> CallVerdict | None:
        glance, path = self._glances.get(key[0]), path_of(key)
        if glance is None or path is None:
            return None
        outcome = self._decoder.glances.outcome(glance, path, key[3])
        if outcome is not None:
            self._remember(key, outcome)
        return outcome

    def _remember(self, key: Key, outcome: CallVerdict) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = outcome

    def forget(self) -> None:
        """Paths may mean other files now."""
        self._known.clear()


def path_of(key: Key | None) -> bytes | None:
    """The path that a call names, made absolute; None where it must be read from the caller."""
    if key is None or key[1] is None or not key[2]:
        return None
    path = join(key[1] or b"/", key[2])
    return path if len(path) < PATH_MAX else None
