"""Caches decoded calls, so that a repeated call is not decoded again.

Three caches speed up the engines. They are cleared together when the run changed where paths lead
(:meth:`CallCache.forget_if_paths_changed`):

- the verdict on a call, by its :data:`Key`: the same call of another process image touches the
  same files, and is not decoded again;
- ``recorded``: calls of a process image whose touches are in the trace;
- ``missing``: calls of a process image whose path was missing each time.

A verdict on a missing path is valid only while the path does not exist; this is checked each time.
Other caches are never cleared: those of programs (binfmt, exec) use inode and change time as their
key, and :class:`~slimtrace.tracer.record.repeats.Repeats` remembers what was written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.decode.call import UNCACHED, CallVerdict, StoppedCall
from slimtrace.tracer.decode.fast_path import FastCall, find_fast_call
from slimtrace.tracer.decode.path_arguments import LOOKS
from slimtrace.tracer.kernel.memory import PATH_MAX
from slimtrace.tracer.paths import join
from slimtrace.tracer.syscalls.table import CallMeaning

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.tracer.decode.decoder import Decoder
    from slimtrace.tracer.syscalls.abi import Call

Key = tuple[int, bytes | None, bytes, int]
"""arch and number, base directory (empty for an absolute path), path, significant flags."""

_CACHEABLE = (CallMeaning.PLAIN, CallMeaning.OPEN, CallMeaning.EXEC)
_MAX_VERDICTS = 20_000
"""Enough: an app that runs one program a thousand times repeats a few hundred calls."""


class CallPlan(NamedTuple):
    """How to make the key of a call with one path.

    :ivar path: the number of the argument; so are ``dirfd`` and ``flags``.
    :ivar significant_flags: the bits of the flags that change what the call means.
    :ivar looks: whether the call only looks at the file.
    """

    path: int
    dirfd: int | None
    flags: int | None
    significant_flags: int
    looks: bool


def make_call_plan(call: Call) -> CallPlan | None:
    """Return how to make a call's key; None if each such call must be decoded."""
    signature = call.signature
    if signature.meaning not in _CACHEABLE or len(signature.paths) != 1:
        return None
    (argument,) = signature.paths
    if argument.path is None:
        return None
    looks = argument.use in LOOKS
    return CallPlan(argument.path, argument.dirfd, signature.flags, signature.telling, looks)


class CallCache:
    """The decoded calls of one run; used by all engines.

    :ivar calls: arch<<32|number → the calls that are stopped.
    :ivar recorded: ``hash((process image, key))`` of calls that add nothing to the trace. The
        engines look here first, and add to it.
    :ivar missing: the same, for calls whose path was missing each time.
    """

    def __init__(self, decoder: Decoder, calls: Mapping[int, Call]) -> None:
        self.calls = calls
        self.recorded: set[int] = set()
        self.missing: set[int] = set()
        self._decoder = decoder
        self._verdicts: dict[Key | None, CallVerdict] = {}
        self._fast_calls: dict[int, FastCall] = {}  # of the calls that the trace lists already
        self._execs = {k for k, call in calls.items() if call.signature.meaning is CallMeaning.EXEC}

    def decode(self, stop: StoppedCall, key: Key | None) -> CallVerdict:
        """Record what the call is about to do.

        :returns: with ``touches``, if the same call of the same process image would add nothing.
        """
        verdict = self._verdicts.get(key, UNCACHED)
        if not self._decoder.repeat(stop, verdict):
            verdict = self._decoder.decode(stop)
            if key is not None and verdict.touches is not None:
                self._remember(key, verdict)
                fast_call = find_fast_call(stop.call.signature)
                if fast_call is not None:
                    self._fast_calls[key[0]] = fast_call
        return UNCACHED if stop.call.signature.meaning is CallMeaning.EXEC else verdict

    def recall(self, key: Key) -> CallVerdict | None:
        """Return the verdict on a call from the cache or the fast path; None for an exec.

        The caller must record its touches.
        """
        verdict = self._verdicts.get(key)
        if verdict is None:
            return self._decode_fast(key)
        if key[0] in self._execs or not self._decoder.is_current(verdict):
            return None
        return verdict

    def _decode_fast(self, key: Key) -> CallVerdict | None:
        fast_call, path = self._fast_calls.get(key[0]), get_absolute_path(key)
        if fast_call is None or path is None:
            return None
        verdict = self._decoder.fast_path.decode(fast_call, path, key[3])
        if verdict is not None:
            self._remember(key, verdict)
        return verdict

    def _remember(self, key: Key, verdict: CallVerdict) -> None:
        if len(self._verdicts) >= _MAX_VERDICTS:
            self._verdicts.clear()
        self._verdicts[key] = verdict

    def forget_if_paths_changed(self) -> None:
        """Clear the caches if paths may lead to other files since the last check.

        Call this after each call whose verdict has no touches: only such calls change paths.
        """
        if self._decoder.poll_path_changes():
            self.recorded.clear()
            self.missing.clear()
            self._verdicts.clear()


def get_absolute_path(key: Key | None) -> bytes | None:
    """Return the absolute path that a call names; None if it must be read from the caller."""
    if key is None or key[1] is None or not key[2]:
        return None
    path = join(key[1] or b"/", key[2])
    return path if len(path) < PATH_MAX else None
