"""Decodes execs. What an exec touches belongs to the process image that it makes."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.binfmt import Interpreters
from slimtrace.tracer.decode.call import UNCACHED, CallVerdict
from slimtrace.tracer.syscalls.table import AT_FDCWD
from slimtrace.tracer.trace.trace import PathState, Use

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.decode.path_arguments import PathResolver
    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.record.recorder import Recorder

_SETUID_OR_SETGID = 0o6000

_Inode = tuple[int, int, int]
_Exe = tuple[bytes, bytes, _Inode | None]
"""The program that the kernel says is running; the program that the call named, and its inode."""


class ExecDecoder:
    """Execs in progress, by thread: the caller's process image and what the exec will touch."""

    def __init__(self, recorder: Recorder, resolver: PathResolver) -> None:
        self._recorder = recorder
        self._resolver = resolver
        self._view = recorder.view
        self._interpreters = Interpreters(recorder.view)
        self._in_progress: dict[int, tuple[int, Sequence[tuple[Use, PathState]]]] = {}
        self._with_exes: dict[_Exe, Sequence[tuple[Use, PathState]]] = {}

    def __contains__(self, tid: int) -> bool:
        return tid in self._in_progress

    def begin(self, stop: StoppedCall) -> CallVerdict:
        """Find what an exec touches: the program and its interpreters (execve(2)).

        Also the file behind a magic link, such as /proc/self/fd/3.
        """
        path = self._resolver.read_path(stop, stop.call.signature.paths[0])
        if path is None:
            return UNCACHED
        program = self._resolver.look_up(stop.tid, path, follow=True)
        if program.status is None:
            self._recorder.queue_touches(stop.process, ((Use.EXEC, program),))
            return UNCACHED
        touches = [(Use.EXEC, program)]
        hidden = self._view.resolve_magic_link(stop.tid, path)
        if hidden is not None:
            touches.append((Use.EXEC, self._resolver.look_up(stop.tid, hidden, follow=True)))
        view = self._view.replace_self(stop.tid, path)
        relative = False
        locate = partial(self._resolver.locate, stop.tid, AT_FDCWD, follow=True)
        for interpreter in self._interpreters.find(view, locate, program.status):
            relative = relative or interpreter.from_cwd
            place = self._resolver.look_up(stop.tid, interpreter.path, follow=True)
            touches.append((interpreter.use, place))
        self.begin_again(stop, touches)
        grants = self._view.grants_privileges
        if not grants and _needs_privilege(self._view, view, program.status):
            name = os.fsdecode(path)
            self._recorder.record_gap(
                "setuid", f"{name} ran without the privileges that its file grants"
            )
        return UNCACHED if relative else CallVerdict(touches)

    def begin_again(self, stop: StoppedCall, touches: Sequence[tuple[Use, PathState]]) -> None:
        """Begin an exec whose touches are known."""
        self._in_progress[stop.tid] = stop.process, touches

    def is_same(self, tid: int, touches: Sequence[tuple[Use, PathState]]) -> bool:
        """Whether the program is still the same file."""
        before = touches[0][1]
        after = self._resolver.look_up(tid, before.path, follow=True)
        return before.state is after.state and _inode(before) == _inode(after)

    def find_target(self, tid: int) -> PathState | None:
        """Return the program that the exec of ``tid`` will run: the last interpreter."""
        _, touches = self._in_progress.get(tid, (0, ()))
        return next((place for use, place in reversed(touches) if use is Use.EXEC), None)

    def is_script(self, tid: int) -> bool:
        """Whether the exec of ``tid`` runs an interpreter instead of the program."""
        _, touches = self._in_progress.get(tid, (0, ()))
        return is_script(touches)

    def commit(self, tid: int, process: int, exe: bytes | None = None) -> None:
        """End the exec of ``tid``, and record its touches as touches of ``process``.

        :param exe: the program that the kernel says is running: with binfmt_misc it is not in the
            touches.
        """
        self.record(tid, process, self.take(tid), exe)

    def take(self, tid: int) -> Sequence[tuple[Use, PathState]]:
        """End the exec of ``tid``; return its touches, which the caller must record."""
        _, touches = self._in_progress.pop(tid, (0, ()))
        return touches

    def record(
        self, tid: int, process: int, touches: Sequence[tuple[Use, PathState]], exe: bytes | None
    ) -> None:
        """Record the touches of an exec as touches of ``process``."""
        if exe is not None and touches:
            touches = self._with_exe(tid, touches, exe)
        self._recorder.queue_shared_touches(process, touches)

    def _with_exe(
        self, tid: int, touches: Sequence[tuple[Use, PathState]], exe: bytes
    ) -> Sequence[tuple[Use, PathState]]:
        first = touches[0][1]
        key = exe, first.path, _inode(first)
        known = self._with_exes.get(key)
        if known is None:
            known = touches
            if all(place.path != exe for _, place in touches):
                known = (*touches, (Use.EXEC, self._resolver.look_up(tid, exe, follow=True)))
            self._with_exes[key] = known
        return known

    def finish(self) -> None:
        """End all execs at the end of the run: they failed, or their caller was killed."""
        for tid, (process, _) in [*self._in_progress.items()]:
            self.commit(tid, process)


def is_script(touches: Sequence[tuple[Use, PathState]]) -> bool:
    """Whether an exec runs an interpreter; its arguments then differ from the call's."""
    return sum(use is Use.EXEC for use, _ in touches) > 1


def _needs_privilege(view: RootView, program: bytes, status: os.stat_result) -> bool:
    """Whether exec would add privileges: setuid, setgid or capabilities (capabilities(7))."""
    if status.st_mode & _SETUID_OR_SETGID:
        return True
    try:
        return bool(view.read_xattr(program, "security.capability"))
    except OSError:
        return False


def _inode(place: PathState) -> _Inode | None:
    status = place.status
    return status and (status.st_dev, status.st_ino, status.st_ctime_ns)
