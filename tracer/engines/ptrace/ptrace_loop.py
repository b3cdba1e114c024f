"""The ptrace loop: handles births, execs, calls, group-stops and exits of all tracees."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, assert_never

from slimtrace.tracer.engines.ptrace.stops import PtraceEvent, SignalDelivery, decode_status
from slimtrace.tracer.kernel import ptrace
from slimtrace.tracer.kernel.credentials import may_look_at_all
from slimtrace.tracer.kernel.registers import (
    has_failed_with_eintr,
    restart_call,
)
from slimtrace.tracer.process import magic_links, procfs
from slimtrace.tracer.process.borrowed_ids import borrow_ids
from slimtrace.tracer.result import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from slimtrace.tracer.decode.exec import ExecDecoder
    from slimtrace.tracer.record.recorder import Recorder

_POLL_SECONDS = 0.001
_BIRTH_TIMEOUT_SECONDS = 0.2
"""The kernel reports the birth of a child within microseconds of the child's first stop."""


class PtraceLoop:
    """Handles the stops of all tracees, and knows which process image each thread runs.

    One thread runs the loop. Other threads may call only the methods of
    :class:`~slimtrace.tracer.engines.app.AppControl`.

    :ivar images: the process image that each live thread runs, by thread id.
    :ivar on_call: called with each thread that stopped at a system call.
    """

    def __init__(self, *, every_call: bool) -> None:
        """Start without a tracee.

        :param every_call: stop at every call, not only at those that a filter selects.
        """
        self._continue = ptrace.resume_to_call if every_call else ptrace.resume
        self._owners: dict[int, int] = {}  # process image → the process whose exec made it
        self._parked: dict[int, float] = {}  # threads that stopped before their birth, and when
        self._live: set[int] = set()  # the run lasts until all of these have ended
        self._others = _list_children()  # children from before the run: it does not wait for them
        self._deliveries: dict[int, float] = {}  # time of each signal to the app's first process
        self._exit: ExitStatus | None = None
        self._first_image: int | None = None
        self._app = 0
        self._helpers: dict[int, int] = {}  # with the generations from each to the app
        self._unexecuted: set[int] = set()
        self._detaching = False
        self._borrows_ids = not may_look_at_all()
        self.images: dict[int, int] = {}
        self.on_call: Callable[[int], object] = self.resume

    def begin(self, recorder: Recorder, execs: ExecDecoder, on_call: Callable[[int], None]) -> None:
        """Record from now on; ``on_call`` must :meth:`resume` each thread that it gets."""
        self._recorder, self._execs, self.on_call = recorder, execs, on_call

    def add_process(self, pid: int, generation: int) -> None:
        """Follow a process that this thread seized: the app before its exec, or an ancestor.

        The ancestors, the sandbox's supervisor and its reaper, are not part of the app. Their
        children are part of it once they have executed their commands.

        :param generation: 0 where it is the app, 1 where the app will be its child, and so on.
        """
        if generation == 0:
            self._app = pid
        else:
            self._helpers[pid] = generation
        self._unexecuted.add(pid)
        self._live.add(pid)
        self._others.discard(pid)

    def wait_for_app(self) -> int:
        """Handle stops until the app was forked, where it was not; return its process.

        :raises ChildProcessError: its parent ended instead.
        """
        while not self._app and self._live:
            self._handle(*os.waitpid(-1, ptrace.WAIT_OWN))
        return self._app

    def is_unexecuted(self, tid: int) -> bool:
        """Whether this process has not executed its command yet."""
        return tid in self._unexecuted

    def add_thread(self, tid: int, image: int, *, is_leader: bool) -> None:
        """Follow a thread that runs already and that this thread seized.

        :param is_leader: whether it is the first thread of its process.
        """
        self._live.add(tid)
        self.images[tid] = image
        if is_leader:
            self._owners[image] = tid
        self._first_image = image if self._first_image is None else self._first_image

    @property
    def has_tracees(self) -> bool:
        """Whether any tracee is left."""
        return bool(self._live)

    def loop(self) -> None:
        """Handle stops until no tracee is left."""
        try:
            while self._live or not self._others:
                tid, status = self._wait()
                if tid:
                    self._handle(tid, status)
        except ChildProcessError:
            return

    def handle_all(self) -> None:
        """Handle the stops that wait now, and return."""
        while self._live:
            try:
                tid, status = os.waitpid(-1, ptrace.WAIT_OWN | os.WNOHANG)
            except ChildProcessError:
                self._live.clear()
                return
            if tid == 0:
                return
            self._handle(tid, status)

    def detach_all(self) -> None:
        """Make every tracee stop, and detach it at that stop, not at another one.

        Only there is it known that our stop ended a call (_restart_if_only_stopped).
        """
        self._detaching = True
        for tid in [*self._live]:
            if tid in self._parked:
                self._detach(tid)
            else:
                ptrace.interrupt(tid)

    def resume(self, tid: int, signal: int = 0) -> None:
        """Let a stopped thread run, and deliver ``signal``."""
        if self._detaching:
            ptrace.interrupt(tid)  # again: another stop cancels the first request
        self._continue(tid, signal)

    def _detach(self, tid: int) -> None:
        _restart_if_only_stopped(tid)
        ptrace.detach(tid)
        self._live.discard(tid)
        self._parked.pop(tid, None)
        self.images.pop(tid, None)

    def _wait(self) -> tuple[int, int]:
        """The next stop; (0, 0) after a short time while a child waits for the report of its birth.

        A parent that is killed while it forks may never report it.
        """
        if not self._parked:
            return os.waitpid(-1, ptrace.WAIT_OWN)
        stop = os.waitpid(-1, ptrace.WAIT_OWN | os.WNOHANG)
        if not stop[0]:
            time.sleep(_POLL_SECONDS)
            now = time.monotonic()
            for tid in [
                tid for tid, since in self._parked.items() if now - since > _BIRTH_TIMEOUT_SECONDS
            ]:
                self._adopt_orphan(tid)
        return stop

    def _adopt_orphan(self, tid: int) -> None:
        del self._parked[tid]
        if self.find_image(tid) is None and self._first_image is not None:
            self.images[tid] = self._first_image
        self.resume(tid)

    def _handle(self, tid: int, status: int) -> None:  # noqa: C901, PLR0912 -- a branch for each
        stop = decode_status(status)
        if self._borrows_ids:
            borrow_ids(tid)
        match stop:
            case ExitStatus():
                self._handle_exit(tid, stop)
            case SignalDelivery():
                if tid == self._app:
                    self._deliveries[stop.signal] = time.monotonic()
                self.resume(tid, stop.signal)
            case PtraceEvent.BIRTH:
                self._handle_birth(tid)
                self.resume(tid)
            case PtraceEvent.EXEC:
                self._handle_exec(tid)
                self.resume(tid)
            case PtraceEvent.CALL:
                self.on_call(tid)
            case PtraceEvent.GROUP_STOP | PtraceEvent.FIRST_STOP if self._detaching:
                self._detach(tid)
            case PtraceEvent.GROUP_STOP:
                ptrace.listen(tid)
            case PtraceEvent.FIRST_STOP:
                self._live.add(tid)
                _restart_if_only_stopped(tid)
                if tid in self.images or tid in self._unexecuted:
                    self.resume(tid)
                else:
                    self._parked[tid] = time.monotonic()
            case PtraceEvent.OTHER:
                self.resume(tid)
            case _:
                assert_never(stop)

    def _handle_birth(self, tid: int) -> None:
        child = ptrace.read_event_message(tid)
        if child is None:  # killed at this stop: the first stop of the child will show it
            return
        image = self.images.get(tid)
        if image is not None:
            self.images[child] = image
        self._live.add(child)
        generation = self._helpers.get(tid)
        if generation is not None:
            self._unexecuted.add(child)
            if generation > 1 and not self._app:
                self._helpers[child] = generation - 1
            elif generation == 1:
                self._app = self._app or child
        if self._parked.pop(child, None) is not None:
            self.resume(child)

    def _handle_exec(self, tid: int) -> None:
        """The process runs another program now; its other threads are gone (execve(2))."""
        former = ptrace.read_event_message(tid) or tid
        previous = self.images.pop(former, None)
        if previous is not None and self._owners.get(previous) == tid:
            del self._owners[previous]
        exe = magic_links.read_link(b"/proc/%d/exe" % tid)
        name = os.fsdecode(exe) if exe is not None else "(deleted)"
        image = self._recorder.record_process(previous, name, procfs.read_command_line(tid))
        self._owners[image] = tid
        self._first_image = image if self._first_image is None else self._first_image
        self._unexecuted.discard(tid)
        if former != tid:  # its exit is never reported (ptrace(2), execve under ptrace)
            self._live.discard(former)
        self.images[tid] = image
        self._execs.commit(former, image, exe)
        self._recorder.flush()

    def _handle_exit(self, tid: int, stop: ExitStatus) -> None:
        image = self.images.pop(tid, None)
        self._parked.pop(tid, None)
        self._live.discard(tid)
        self._unexecuted.discard(tid)
        if image is not None and self._owners.get(image) == tid:
            del self._owners[image]
            self._recorder.record_exit(image, stop.status)
        if tid == self._app:
            self._exit = stop

    def find_image(self, tid: int) -> int | None:
        """The process image of a thread, also of one whose birth the kernel did not report.

        Such a thread runs the same image as its process, or as its parent.
        """
        image = self.images.get(tid)
        if image is not None:
            return image
        for relative in procfs.read_tgid_and_ppid(tid) or ():
            if relative in self.images:
                image = self.images[relative]
                self.images.setdefault(tid, image)
                return image
        return None

    # As AppControl, for other threads

    def read_exit_status(self) -> ExitStatus | None:
        return self._exit

    def last_delivery(self, number: int) -> float:
        return self._deliveries.get(number, float("-inf"))

    def list_processes(self) -> Iterable[int]:
        processes = {procfs.read_tgid(tid) for tid in [*self.images]}
        return [process for process in processes if process is not None]


def _restart_if_only_stopped(tid: int) -> None:
    """Have a call made again that failed with EINTR only because we stopped the thread."""
    if has_failed_with_eintr(tid) and not procfs.has_pending_signal(tid):
        restart_call(tid)


def _list_children() -> set[int]:
    """Our children so far: a shell may have forked them before it executed slimtrace."""
    own = os.getpid()
    return {
        child for thread in procfs.list_threads(own) for child in procfs.list_children(own, thread)
    }
