"""Which process image each thread runs, learnt from the kernel when a thread makes a call.

Nothing here stops a process. A birth is asked for when a thread makes its first call, an exec is
known to have succeeded when the kernel says that the caller runs something else now, an exit is a
call like others, and how those ended that were killed is asked of their pidfds.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.binfmt import is_program
from slimtrace.tracer.decode.exec import is_script
from slimtrace.tracer.engines.notify.birth_order import BirthOrder
from slimtrace.tracer.engines.notify.exec_args import ExecArgumentReader
from slimtrace.tracer.engines.notify.pidfds import Pidfds
from slimtrace.tracer.engines.notify.process_image import Inode, PastImage, PendingExec, Program
from slimtrace.tracer.process import magic_links, procfs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.decode.exec import ExecDecoder
    from slimtrace.tracer.engines.launch.guard import Guard
    from slimtrace.tracer.engines.launch.launcher import Launcher
    from slimtrace.tracer.record.recorder import Recorder
    from slimtrace.tracer.trace.trace import PathState, Use


_SWEEP_EVERY = 4096
"""New threads; the ids of dead ones may be given again, but not so soon."""
_SWEEP_SECONDS = 5.0
_PATIENCE = 0.25
"""Seconds after which the kernel is asked about an exec, if the caller makes no other call."""


class ProcessTree:
    """Used by the loop that answers calls, but for :meth:`settle_waiting`.

    :ivar images: thread ids to ids of process images; a thread whose exec is under way has none.
    :ivar first: the first process of a sandbox: its calls are no app's.
    :ivar reapers: whether a process of the app inherits orphans (PR_SET_CHILD_SUBREAPER).
    """

    def __init__(
        self, recorder: Recorder, execs: ExecDecoder, guard: Guard, launch: Launcher
    ) -> None:
        self._recorder = recorder
        self._execs = execs
        self.first = launch.init_pid
        self._heirs = (0, guard.pid, launch.init_pid)
        self._started = {launch.app_pid} if launch.spawner is None else launch.spawner.starting
        self._pidfds = Pidfds()
        self.images: dict[int, int] = {}
        self._groups: dict[int, int] = {}  # thread → its process
        self._threads: dict[int, set[int]] = {}  # process → its threads beside the leader
        self._pending: dict[int, PendingExec] = {}  # by process
        self._before: dict[
            int, list[PastImage]
        ] = {}  # by process: what it ran before, oldest first
        self._order = BirthOrder()
        self._callers = ExecArgumentReader()
        self._exes: dict[tuple[bytes, Inode], bytes] = {}
        self._programs: dict[int, Program] = {}  # by image
        self._owners: dict[int, int] = {}  # process → the image that its last exec made
        self.reapers = False
        self._born = 0
        self._swept = time.monotonic()
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
        """Whether this is a child that has not executed its command yet."""
        return tid in self._started

    def _first_call_of(self, tid: int) -> int | None:
        self._born += 1
        if self._born % _SWEEP_EVERY == 0:
            self._sweep()
        relatives = self._pidfds.relatives(tid) or procfs.read_tgid_and_ppid(tid)
        if relatives is None:  # gone: whose call this was will not be known
            return None
        group, parent = relatives
        self._groups[tid] = group
        if group != tid:
            self._threads.setdefault(group, set()).add(tid)
            return self._runs(tid, self.image_of(group))
        if group in self._pending:
            return self._settle(tid, group, self._pending[group])
        if tid in self._started:
            return None
        if parent in self._heirs or (self.reapers and self._is_adopted(tid, parent)):
            return self._runs(tid, self._look_alike(tid))
        return self._runs(tid, self._inherited(tid, parent))

    def _inherited(self, child: int, parent: int) -> int | None:
        """What a process runs that executed nothing: what its parent ran when it was born."""
        under_way = self._pending.get(parent)
        if under_way is None:
            image = self.image_of(parent)
        elif self._order.is_surely_after(child, under_way.moment):
            image = self._settle(child, parent, under_way)
        else:
            image = under_way.previous
        for before in reversed(self._before.get(parent, ())):
            if self._order.is_surely_after(child, before.moment):
                break
            if self._is_running(child, before.image) and not self._is_running(child, image):
                return before.image
        return image

    def _is_running(self, process: int, image: int | None) -> bool:
        program = self._programs.get(image or 0)
        if program is None or program.exe != magic_links.read_link(b"/proc/%d/exe" % process):
            return False
        return program.argv == procfs.read_command_line(process)

    def _is_adopted(self, tid: int, parent: int) -> bool:
        """Whether a process runs another program than its parent: it was born of a third one."""
        program = self._programs.get(self.image_of(parent) or 0)
        return program is not None and program.exe != magic_links.read_link(b"/proc/%d/exe" % tid)

    def _runs(self, tid: int, image: int | None) -> int | None:
        if image is not None:
            self.images[tid] = image
        return image

    def _look_alike(self, process: int) -> int | None:
        """Of a process whose parent is gone: the last image with its program and arguments."""
        program = (
            magic_links.read_link(b"/proc/%d/exe" % process),
            procfs.read_command_line(process),
        )
        alike = (i for i, known in self._programs.items() if (known.exe, known.argv) == program)
        return max(alike, default=max(self._programs, default=None))

    # Execs

    def executing(self, stop: StoppedCall, previous: int | None, code: int) -> None:
        """A thread is about to exec something that exists, by an instruction at ``code``."""
        with self._lock:
            tid = stop.tid
            group = self._groups.get(tid, tid)
            target = self._execs.target(tid)
            status = None if target is None else target.status
            path = b"" if target is None else target.path
            inode = None if status is None else (status.st_dev, status.st_ino)
            before = self._programs.get(previous or 0)
            again = before is None or before.inode == inode or before.inode is None
            self._pending[group] = PendingExec(
                tid,
                previous,
                path,
                inode,
                code,
                self._expected(stop, path, inode),
                procfs.read_stack_start(group) if again else None,
                time.monotonic(),
                self._order.now(),
            )
            self.images.pop(tid, None)
            self.images.pop(group, None)

    def _expected(self, stop: StoppedCall, path: bytes, inode: Inode | None) -> Program | None:
        """What an exec will make of its caller, where the same file was executed before."""
        if inode is None or self._execs.is_script(stop.tid):
            return None
        exe = self._exes.get((path, inode))
        argv = None if exe is None else self._callers.arguments(stop)
        return None if argv is None else Program(inode, exe, argv)

    def _settle(self, tid: int, group: int, under_way: PendingExec) -> int | None:
        """After an exec began, a thread of the process calls: see whether the exec succeeded."""
        if self._is_new(group, under_way):
            return self._executed(group, under_way)
        previous = under_way.previous
        if tid == under_way.caller:  # it failed: the caller goes on
            del self._pending[group]
            self._runs(group, previous)
            if previous is not None:
                self._execs.commit(tid, previous)
            return self._runs(tid, previous)
        return previous

    def _is_new(self, group: int, under_way: PendingExec) -> bool:
        """Whether it runs another program now, or the same again: then its stack has moved.

        Where stacks do not move (personality(2), ADDR_NO_RANDOMIZE) an exec of the same program
        with the same arguments is taken for none, which it is as good as.
        """
        if under_way.expected and self._callers.is_gone(group, under_way.code):
            return True
        before = self._programs.get(under_way.previous or 0)
        if under_way.stack is not None:
            if procfs.read_stack_start(group) != under_way.stack:
                return True
        elif before is not None:
            runs = _inode_of(group)
            if runs is not None and runs in (under_way.inode, before.inode):
                return runs != before.inode
        if before is None or before.exe != magic_links.read_link(b"/proc/%d/exe" % group):
            return True
        return before.argv != procfs.read_command_line(group)

    def _executed(self, group: int, under_way: PendingExec) -> int:
        """The process runs another program. All its other threads are gone (execve(2))."""
        del self._pending[group]
        previous = under_way.previous
        image = self._recorder.new_process()
        touches = self._execs.take(under_way.caller)
        # Asked now, for it may be gone in a moment; told when there is time.
        self._programs[image] = under_way.expected or self._program(group, under_way, touches)
        self._recorder.queue.add(self._describe, image, previous, group, touches)
        if previous is None:  # the app itself: from here on there is a trace
            self._recorder.flush()
        self._forget_threads(group)
        self._owners[group] = image
        self._started.discard(group)
        if previous is not None:
            self._before.setdefault(group, []).append(PastImage(previous, self._order.now()))
        if not self._pidfds.keep(group) and self._pidfds.is_full:
            self._ask_who_ended()
            self._pidfds.keep(group)
        self.images[group] = image
        return image

    def _program(
        self, group: int, under_way: PendingExec, touches: Sequence[tuple[Use, PathState]]
    ) -> Program:
        """What a process runs now, and what others will that execute the same.

        That is not known of scripts, and where binfmt_misc has another program run: their
        arguments are not those of the call.
        """
        exe, argv = magic_links.read_link(b"/proc/%d/exe" % group), procfs.read_command_line(group)
        inode = under_way.inode
        if exe and inode and not is_script(touches) and _inode_of(group) == inode:
            self._exes[under_way.path, inode] = exe
        return Program(inode, exe, argv)

    def _describe(
        self,
        image: int,
        previous: int | None,
        group: int,
        touches: Sequence[tuple[Use, PathState]],
    ) -> None:
        """Say what a process image is, and what its exec touched."""
        program = self._programs[image]
        if program.exe is None and not program.argv and touches:  # it was killed already
            name = touches[0][1].path
        else:
            name = program.exe or b"(deleted)"
        self._recorder.describe(image, previous, os.fsdecode(name), program.argv)
        self._execs.record(group, image, touches, program.exe)

    def settle_waiting(self) -> None:
        """Ask about execs after which nothing was called for a while, and forget who is gone.

        For another thread, now and then.
        """
        with self._lock:
            now = time.monotonic()
            for group, under_way in [*self._pending.items()]:
                if now - under_way.since > _PATIENCE:
                    alive = magic_links.read_link(b"/proc/%d/exe" % group) is not None
                    if alive and self._is_new(group, under_way):
                        self._executed(group, under_way)
            self._recorder.flush()
            if now - self._swept > _SWEEP_SECONDS:
                self._sweep()

    # Ends

    def exiting(self, tid: int, status: int, *, whole_process: bool) -> None:
        """A thread ends, or its process does, with this exit status."""
        with self._lock:
            self.image_of(tid)
            group = self._groups.get(tid, tid)
            if whole_process or tid == group:
                image = self._owners.get(group)
                if image is not None:
                    self._recorder.exited_later(image, status)
            if whole_process:
                self._gone(group)
                self._pidfds.drop(group)
            elif tid != group:  # a leader's threads may live on, and run what it ran
                self._forget(tid)

    def _ask_who_ended(self) -> None:
        for process, status in self._pidfds.poll_ended():
            image = self._owners.get(process)
            if image is not None and status is not None:
                self._recorder.exited_later(image, status)
            self._gone(process)

    def finish(self) -> None:
        """The run is over: say how those ended that did not say so themselves."""
        with self._lock:
            for group in [*self._pending]:
                self._unheard(group)
            self._ask_who_ended()
            self._pidfds.close()
            self._order.close()

    def _unheard(self, group: int) -> None:
        """A process ended without a call after its exec began.

        The exec succeeded and the process was killed, or it failed and the caller exited.
        """
        under_way = self._pending.pop(group)
        target = self._execs.target(under_way.caller)
        if target is None or not is_program(self._recorder.view, target):
            if under_way.previous is not None:
                self._execs.commit(under_way.caller, under_way.previous)
            return
        image = self._recorder.process(under_way.previous, os.fsdecode(target.path), ())
        self._execs.commit(under_way.caller, image)

    def _gone(self, process: int) -> None:
        """All threads of a process are gone."""
        self._owners.pop(process, None)
        self._forget_threads(process)
        self._forget(process)

    def _forget_threads(self, group: int) -> None:
        for thread in self._threads.pop(group, ()):
            self.images.pop(thread, None)
            self._groups.pop(thread, None)

    def _forget(self, tid: int) -> None:
        self.images.pop(tid, None)
        self._before.pop(tid, None)
        group = self._groups.pop(tid, None)
        if group is not None and group in self._threads:
            self._threads[group].discard(tid)

    def _sweep(self) -> None:
        """Forget who is gone."""
        self._swept = time.monotonic()
        for tid in [tid for tid in self._groups if not os.path.exists(f"/proc/{tid}")]:
            self._forget(tid)
        for group in [group for group in self._pending if not os.path.exists(f"/proc/{group}")]:
            self._unheard(group)


def _inode_of(process: int) -> Inode | None:
    """The file that a process runs."""
    try:
        status = os.stat(f"/proc/{process}/exe")
    except OSError:
        return None
    return status.st_dev, status.st_ino
