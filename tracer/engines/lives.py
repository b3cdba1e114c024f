"""Which process image each thread runs, learnt from the kernel when a thread makes a call.

Nothing here stops a process. A birth is asked for when a thread makes its first call, an exec is
known to have succeeded when the kernel says that the caller runs something else now, an exit is a
call like others, and how those ended that were killed is asked of their pidfds.
"""

from __future__ import annotations

import os
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tracer import tracee
from tracer.engines.pidfds import Pidfds

if TYPE_CHECKING:
    from tracer.decode.execs import Execs
    from tracer.engines.guard import Guard
    from tracer.recorder import Recorder

_SWEEP_EVERY = 4096
"""New threads; the ids of dead ones may be given again, but not so soon."""
_PATIENCE = 0.25
"""Seconds after which the kernel is asked about an exec, if the caller makes no other call."""

_Inode = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Program:
    """What a process image runs: the kernel's words, and the file that the exec was to run."""

    exe: bytes | None
    argv: tuple[str, ...]
    inode: _Inode | None = field(compare=False)


@dataclass(frozen=True, slots=True)
class _Exec:
    """An exec under way.

    :ivar stack: where the stack was before, if the new program may look as the old one.
    """

    caller: int
    previous: int | None
    inode: _Inode | None
    stack: bytes | None
    since: float


class Lives:
    """Used by the loop that answers calls, but for :meth:`settle_waiting`.

    :ivar images: thread ids to ids of process images; a thread whose exec is under way has none.
    """

    def __init__(self, recorder: Recorder, execs: Execs, guard: Guard) -> None:
        self._recorder = recorder
        self._execs = execs
        self._guard = guard
        self._pidfds = Pidfds(recorder)
        self.images: dict[int, int] = {}
        self._groups: dict[int, int] = {}  # thread → its process
        self._threads: dict[int, set[int]] = {}  # process → its threads beside the leader
        self._pending: dict[int, _Exec] = {}  # by process
        self._programs: dict[int, _Program] = {}  # by image
        self._owners: dict[int, int] = {}  # image → the process whose exec made it
        self._born = 0
        self._lock = threading.RLock()

    # What a thread that waits at a call runs

    def image_of(self, tid: int) -> int | None:
        """The process image of a thread; None before the app's first exec."""
        image = self.images.get(tid)
        if image is not None:
            return image
        with self._lock:
            group = self._groups.get(tid)
            if group is None:
                return self._first_call_of(tid)
            under_way = self._pending.get(group)
            if under_way is not None:
                return self._settle(tid, group, under_way)
            return self._runs(tid, self.images.get(group))

    def is_unborn(self, tid: int) -> bool:
        """Whether this is the child that has not executed the app yet."""
        return tid == self._guard.app and not self._programs

    def _first_call_of(self, tid: int) -> int | None:
        self._born += 1
        if self._born % _SWEEP_EVERY == 0:
            self._sweep()
        relatives = self._pidfds.relatives(tid) or tracee.relatives(tid)
        if relatives is None:  # gone: whose call this was will not be known
            return None
        group, parent = relatives
        self._groups[tid] = group
        if group != tid:
            self._threads.setdefault(group, set()).add(tid)
            return self._runs(tid, self.image_of(group))
        if group in self._pending:
            return self._settle(tid, group, self._pending[group])
        if tid == self._guard.app:
            return None
        if parent in (0, self._guard.pid):
            return self._runs(tid, self._look_alike(tid))
        return self._runs(tid, self.image_of(parent))

    def _runs(self, tid: int, image: int | None) -> int | None:
        if image is not None:
            self.images[tid] = image
        return image

    def _look_alike(self, process: int) -> int | None:
        """Of a process whose parent is gone: the last image with its program and arguments."""
        program = _program(process, None)
        alike = (image for image, known in self._programs.items() if known == program)
        return max(alike, default=max(self._programs, default=None))

    # Execs

    def executing(self, tid: int, previous: int | None) -> None:
        """A thread is about to exec something that exists."""
        with self._lock:
            group = self._groups.get(tid, tid)
            target = self._execs.target(tid)
            status = None if target is None else target.status
            inode = None if status is None else (status.st_dev, status.st_ino)
            before = self._programs.get(previous or 0)
            again = before is None or before.inode == inode or before.inode is None
            stack = tracee.stack(group) if again else None
            self._pending[group] = _Exec(tid, previous, inode, stack, time.monotonic())
            self.images.pop(tid, None)
            self.images.pop(group, None)

    def _settle(self, tid: int, group: int, under_way: _Exec) -> int | None:
        """After an exec began, a thread of the process calls: see whether the exec succeeded."""
        after = _program(group, under_way.inode)
        if self._is_new(group, under_way, after):
            return self._executed(group, under_way, after)
        previous = under_way.previous
        if tid == under_way.caller:  # it failed: the caller goes on
            del self._pending[group]
            self._runs(group, previous)
            if previous is not None:
                self._execs.commit(tid, previous)
            return self._runs(tid, previous)
        return previous

    def _is_new(self, group: int, under_way: _Exec, after: _Program) -> bool:
        """Whether it runs another program now, or the same again: then its stack has moved.

        Where stacks do not move (personality(2), ADDR_NO_RANDOMIZE) an exec of the same program
        with the same arguments is taken for none, which it is as good as.
        """
        before = self._programs.get(under_way.previous or 0)
        return before != after or (
            under_way.stack is not None and tracee.stack(group) != under_way.stack
        )

    def _executed(self, group: int, under_way: _Exec, program: _Program) -> int:
        """The process runs another program. All its other threads are gone (execve(2))."""
        del self._pending[group]
        previous = under_way.previous
        name = os.fsdecode(program.exe) if program.exe is not None else "(deleted)"
        image = self._recorder.process(previous, name, program.argv)
        self._programs[image] = program
        if previous is not None and self._owners.get(previous) == group:
            self._let_go(previous)
        self._forget_threads(group)
        self._owners[image] = group
        self._pidfds.keep(image, group)
        self.images[group] = image
        self._execs.commit(under_way.caller, image, program.exe)
        return image

    def settle_waiting(self) -> None:
        """Ask about execs after which nothing was called for a while. For another thread."""
        if not self._pending:
            return
        with self._lock:
            now = time.monotonic()
            for group, under_way in [*self._pending.items()]:
                if now - under_way.since > _PATIENCE:
                    after = _program(group, under_way.inode)
                    if after.argv and self._is_new(group, under_way, after):
                        self._executed(group, under_way, after)

    # Ends

    def exiting(self, tid: int, status: int, *, whole_process: bool) -> None:
        """A thread ends, or its process does, with this exit status."""
        with self._lock:
            image = self.image_of(tid)
            group = self._groups.get(tid, tid)
            if image is not None and self._owners.get(image) == group:
                if whole_process or tid == group:
                    self._recorder.exited(image, status)
                if whole_process:
                    self._let_go(image)
            if whole_process:
                self._forget_threads(group)
                self._forget(group)
            elif tid != group:  # a leader's threads may live on, and run what it ran
                self._forget(tid)

    def finish(self) -> None:
        """The run is over: say how those ended that were killed."""
        with self._lock:
            self._pidfds.finish()
            for under_way in self._pending.values():
                # Nothing was called after this exec: it succeeded, and the process was killed.
                target = self._execs.target(under_way.caller)
                if target is not None:
                    name = os.fsdecode(target.path)
                    image = self._recorder.process(under_way.previous, name, ())
                    self._execs.commit(under_way.caller, image)
            self._pending.clear()

    def _let_go(self, image: int) -> None:
        """The process runs this image no more."""
        self._owners.pop(image, None)
        self._pidfds.drop(image)

    def _forget_threads(self, group: int) -> None:
        for thread in self._threads.pop(group, ()):
            self.images.pop(thread, None)
            self._groups.pop(thread, None)

    def _forget(self, tid: int) -> None:
        self.images.pop(tid, None)
        group = self._groups.pop(tid, None)
        if group is not None and group in self._threads:
            self._threads[group].discard(tid)

    def _sweep(self) -> None:
        """Forget who was killed."""
        for tid in [tid for tid in self._groups if not os.path.exists(f"/proc/{tid}")]:
            self._forget(tid)


def _program(process: int, inode: _Inode | None) -> _Program:
    exe = tracee.link(b"/proc/%d/exe" % process)
    return _Program(exe, tracee.command_line(process), inode)
