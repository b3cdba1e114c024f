"""Which process image each thread runs; the kernel is asked when a thread makes a call.

Nothing here stops a process. The parent of a process is looked up at its first call. An exec has
succeeded when /proc shows that the caller runs another program. An exit is a call like others, and
the exit status of a process that was killed is read from its pidfd.
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
from slimtrace.tracer.process.borrowed_ids import borrow_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.decode.exec import ExecDecoder
    from slimtrace.tracer.engines.launch.guard import Guard
    from slimtrace.tracer.engines.launch.launcher import Launcher
    from slimtrace.tracer.record.recorder import Recorder
    from slimtrace.tracer.trace.trace import PathState, Use


_SWEEP_EVERY_THREADS = 4096
"""New threads; the kernel assigns the numbers of ended ones again, but not so soon."""
_SWEEP_SECONDS = 5.0
_EXEC_TIMEOUT_SECONDS = 0.25
"""After this, an exec is checked although the caller has made no other call."""


class ProcessTree:
    """Only the thread of the notify loop may use it, except for :meth:`settle_overdue`.

    :ivar images: the process image of each thread, by thread id; none during an exec.
    :ivar helpers: processes of slimtrace with the app's filter, which are not part of the app.
    :ivar has_reapers: whether a process of the app inherits orphans: process 1 does, and one with
        PR_SET_CHILD_SUBREAPER.
    """

    def __init__(
        self, recorder: Recorder, execs: ExecDecoder, guard: Guard, launch: Launcher
    ) -> None:
        self._recorder = recorder
        self._execs = execs
        self.helpers = launch.helpers
        self._orphan_parents = {0, guard.pid, *launch.helpers}
        self._starting = {launch.app_pid} if launch.spawner is None else launch.spawner.starting
        self._pidfds = Pidfds()
        self.images: dict[int, int] = {}
        self._groups: dict[int, int] = {}  # thread → its process
        self._threads: dict[int, set[int]] = {}  # process → its threads beside the leader
        self._pending: dict[int, PendingExec] = {}  # by process
        self._past: dict[int, list[PastImage]] = {}  # by process: its earlier images, oldest first
        self._order = BirthOrder()
        self._exec_arguments = ExecArgumentReader()
        self._exes: dict[tuple[bytes, Inode], bytes] = {}
        self._programs: dict[int, Program] = {}  # by image
        self._owners: dict[int, int] = {}  # process → the image that its last exec made
        self.has_reapers = launch.app_is_process_one
        self._thread_count = 0
        self._swept = time.monotonic()
        self._lock = threading.RLock()

    # Births

    def find_image(self, tid: int) -> int | None:
        """The process image of a thread; None before the app's first exec."""
        image = self.images.get(tid)
        if image is not None:
            return image
        with self._lock:
            group = self._groups.get(tid)
            if group is None:
                return self._handle_first_call(tid)
            under_way = self._pending.get(group)
            if under_way is not None:
                return self._settle(tid, group, under_way)
            return self._set_image(tid, self.images.get(group))

    def is_unexecuted(self, tid: int) -> bool:
        """Whether this process has not executed its command yet."""
        return tid in self._starting

    def _handle_first_call(self, tid: int) -> int | None:
        self._thread_count += 1
        if self._thread_count % _SWEEP_EVERY_THREADS == 0:
            self._sweep()
        relatives = self._pidfds.read_tgid_and_ppid(tid) or procfs.read_tgid_and_ppid(tid)
        if relatives is None:  # gone: nobody can know whose call this was
            return None
        group, parent = relatives
        self._groups[tid] = group
        if group != tid:
            self._threads.setdefault(group, set()).add(tid)
            return self._set_image(tid, self.find_image(group))
        if group in self._pending:
            return self._settle(tid, group, self._pending[group])
        if tid in self._starting:
            return None
        if parent in self._orphan_parents or (self.has_reapers and self._is_adopted(tid, parent)):
            return self._set_image(tid, self._find_alike(tid))
        return self._set_image(tid, self._find_inherited(tid, parent))

    def _find_inherited(self, child: int, parent: int) -> int | None:
        """The image of a process before its first exec: that of its parent at its birth."""
        under_way = self._pending.get(parent)
        if under_way is None:
            image = self.find_image(parent)
        elif self._order.is_surely_after(child, under_way.moment):
            image = self._settle(child, parent, under_way)
        else:
            image = under_way.previous
        for before in reversed(self._past.get(parent, ())):
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
        """Whether it runs another program than its parent: another process forked it."""
        program = self._programs.get(self.find_image(parent) or 0)
        return program is not None and program.exe != magic_links.read_link(b"/proc/%d/exe" % tid)

    def _set_image(self, tid: int, image: int | None) -> int | None:
        if image is not None:
            self.images[tid] = image
        return image

    def _find_alike(self, process: int) -> int | None:
        """For a process whose parent is gone: the last image with its program and arguments."""
        program = (
            magic_links.read_link(b"/proc/%d/exe" % process),
            procfs.read_command_line(process),
        )
        alike = (i for i, known in self._programs.items() if (known.exe, known.argv) == program)
        return max(alike, default=max(self._programs, default=None))

    # Execs

    def begin_exec(self, stop: StoppedCall, previous: int | None, code: int) -> None:
        """A thread is about to execute a file that exists; ``code`` is where the call returns."""
        with self._lock:
            tid = stop.tid
            group = self._groups.get(tid, tid)
            target = self._execs.find_target(tid)
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
                self._predict(stop, path, inode),
                procfs.read_stack_start(group) if again else None,
                time.monotonic(),
                self._order.now(),
            )
            self.images.pop(tid, None)
            self.images.pop(group, None)

    def _predict(self, stop: StoppedCall, path: bytes, inode: Inode | None) -> Program | None:
        """What the caller of an exec will run, where the same file was executed before."""
        if inode is None or self._execs.is_script(stop.tid):
            return None
        exe = self._exes.get((path, inode))
        argv = None if exe is None else self._exec_arguments.read_arguments(stop)
        return None if argv is None else Program(inode, exe, argv)

    def _settle(self, tid: int, group: int, under_way: PendingExec) -> int | None:
        """A thread of the process made a call after an exec began: it may have succeeded."""
        if self._is_new(group, under_way):
            return self._finish_exec(group, under_way)
        previous = under_way.previous
        if tid == under_way.caller:  # the exec failed, and the caller runs on
            del self._pending[group]
            self._set_image(group, previous)
            if previous is not None:
                self._execs.commit(tid, previous)
            return self._set_image(tid, previous)
        return previous

    def _is_new(self, group: int, under_way: PendingExec) -> bool:
        """Whether it runs another program now, or the same again: then its stack has moved.

        Where stacks do not move (personality(2), ADDR_NO_RANDOMIZE), an exec of the same program
        with the same arguments is not seen. The trace loses nothing by that.
        """
        if under_way.expected and self._exec_arguments.is_replaced(group, under_way.code):
            return True
        before = self._programs.get(under_way.previous or 0)
        if under_way.stack is not None:
            if procfs.read_stack_start(group) != under_way.stack:
                return True
        elif before is not None:
            inode = _read_exe_inode(group)
            if inode is not None and inode in (under_way.inode, before.inode):
                return inode != before.inode
        if before is None or before.exe != magic_links.read_link(b"/proc/%d/exe" % group):
            return True
        return before.argv != procfs.read_command_line(group)

    def _finish_exec(self, group: int, under_way: PendingExec) -> int:
        """The process runs another program now; its other threads are gone (execve(2))."""
        del self._pending[group]
        previous = under_way.previous
        image = self._recorder.reserve_process()
        touches = self._execs.take(under_way.caller)
        # Read now, because the process may end soon; written when there is time.
        self._programs[image] = under_way.expected or self._read_program(group, under_way, touches)
        self._recorder.queue.add(self._describe, image, previous, group, touches)
        if previous is None:  # the app itself: from here on there is a trace
            self._recorder.flush()
        self._forget_threads(group)
        self._owners[group] = image
        self._starting.discard(group)
        if previous is not None:
            self._past.setdefault(group, []).append(PastImage(previous, self._order.now()))
        if not self._pidfds.keep(group) and self._pidfds.is_full:
            self._record_ended()
            self._pidfds.keep(group)
        self.images[group] = image
        return image

    def _read_program(
        self, group: int, under_way: PendingExec, touches: Sequence[tuple[Use, PathState]]
    ) -> Program:
        """What a process runs now; remembered for others that execute the same file.

        Not for scripts, nor where binfmt_misc runs another program: the arguments of the process
        are not those of the call.
        """
        exe, argv = magic_links.read_link(b"/proc/%d/exe" % group), procfs.read_command_line(group)
        inode = under_way.inode
        if exe and inode and not is_script(touches) and _read_exe_inode(group) == inode:
            self._exes[under_way.path, inode] = exe
        return Program(inode, exe, argv)

    def _describe(
        self,
        image: int,
        previous: int | None,
        group: int,
        touches: Sequence[tuple[Use, PathState]],
    ) -> None:
        """Record what a process image is, and what its exec touched."""
        program = self._programs[image]
        if program.exe is None and not program.argv and touches:  # it was killed already
            name = touches[0][1].path
        else:
            name = program.exe or b"(deleted)"
        self._recorder.describe_process(image, previous, os.fsdecode(name), program.argv)
        self._execs.record(group, image, touches, program.exe)

    def settle_overdue(self) -> None:
        """Check execs that no call followed for a while, and forget processes that have ended.

        Another thread calls this every fraction of a second.
        """
        with self._lock:
            now = time.monotonic()
            for group, under_way in [*self._pending.items()]:
                if now - under_way.since > _EXEC_TIMEOUT_SECONDS:
                    borrow_ids(group)
                    alive = magic_links.read_link(b"/proc/%d/exe" % group) is not None
                    if alive and self._is_new(group, under_way):
                        self._finish_exec(group, under_way)
            self._recorder.flush()
            if now - self._swept > _SWEEP_SECONDS:
                self._sweep()

    # Ends

    def handle_exit(self, tid: int, status: int, *, whole_process: bool) -> None:
        """A thread, or its whole process, is about to end with this exit status."""
        with self._lock:
            self.find_image(tid)
            group = self._groups.get(tid, tid)
            if whole_process or tid == group:
                image = self._owners.get(group)
                if image is not None:
                    self._recorder.queue_exit(image, status)
            if whole_process:
                self._forget_process(group)
                self._pidfds.drop(group)
            elif tid != group:  # not for a leader: its threads may run on, with its image
                self._forget(tid)

    def _record_ended(self) -> None:
        for process, status in self._pidfds.poll_ended():
            image = self._owners.get(process)
            if image is not None and status is not None:
                self._recorder.queue_exit(image, status)
            self._forget_process(process)

    def finish(self) -> None:
        """After the run: record the exit status of processes that made no exit call."""
        with self._lock:
            for group in [*self._pending]:
                self._close_pending(group)
            self._record_ended()
            self._pidfds.close()
            self._order.close()

    def _close_pending(self, group: int) -> None:
        """A process ended without a call after its exec began.

        The exec succeeded and the process was killed, or it failed and the caller ended.
        """
        under_way = self._pending.pop(group)
        target = self._execs.find_target(under_way.caller)
        if target is None or not is_program(self._recorder.view, target):
            if under_way.previous is not None:
                self._execs.commit(under_way.caller, under_way.previous)
            return
        image = self._recorder.record_process(under_way.previous, os.fsdecode(target.path), ())
        self._execs.commit(under_way.caller, image)

    def _forget_process(self, process: int) -> None:
        """All threads of a process have ended."""
        self._owners.pop(process, None)
        self._forget_threads(process)
        self._forget(process)

    def _forget_threads(self, group: int) -> None:
        for thread in self._threads.pop(group, ()):
            self.images.pop(thread, None)
            self._groups.pop(thread, None)

    def _forget(self, tid: int) -> None:
        self.images.pop(tid, None)
        self._past.pop(tid, None)
        group = self._groups.pop(tid, None)
        if group is not None and group in self._threads:
            self._threads[group].discard(tid)

    def _sweep(self) -> None:
        """Forget threads and processes that have ended."""
        self._swept = time.monotonic()
        for tid in [tid for tid in self._groups if not os.path.exists(f"/proc/{tid}")]:
            self._forget(tid)
        for group in [group for group in self._pending if not os.path.exists(f"/proc/{group}")]:
            self._close_pending(group)


def _read_exe_inode(process: int) -> Inode | None:
    """The file that a process runs, by device and inode number."""
    try:
        status = os.stat(f"/proc/{process}/exe")
    except OSError:
        return None
    return status.st_dev, status.st_ino
