"""The ptrace loop: births, execs, group-stops and deaths of every tracee → the process tree."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import TYPE_CHECKING, assert_never

from tracer import tracee
from tracer.kernel import ptrace
from tracer.stops import Event, Exited, SignalDelivery, decode_status

if TYPE_CHECKING:
    from tracer.decode.execs import Execs
    from tracer.recorder import Recorder
    from tracer.restart import Restarts


_POLL = 0.001
_PATIENCE = 0.2
"""Seconds; the birth of a child is told within microseconds of its first stop."""


class Lifecycle:
    """Which process image each thread runs. One thread loops; another may read ``images``.

    :ivar images: live thread ids to ids of process images.
    :ivar ended: set when no tracee is left.
    :ivar delivered: when the app's first process last got each signal, by time.monotonic().
    """

    def __init__(self, recorder: Recorder, execs: Execs, restarts: Restarts) -> None:
        self._recorder = recorder
        self._execs = execs
        self._restarts = restarts
        self._owners: dict[int, int] = {}  # process image → the process whose exec made it
        self._parked: dict[int, float] = {}  # first stops that came before their birth, since when
        self._live: set[int] = set()  # what must end before the run does
        self._others = _children()  # what was here before, and is not waited for
        self.images: dict[int, int] = {}
        self.ended = threading.Event()
        self.delivered: dict[int, float] = {}
        self._first: int | None = None
        self.root: int | None = None
        self.root_exit: Exited | None = None

    def adopt(self, pid: int) -> None:
        """Follow the app's first process, which this thread seized; its exec is yet to come."""
        self.root = pid
        self._live.add(pid)
        self._others.discard(pid)

    def loop(self) -> None:
        """Handle stops until no tracee is left."""
        try:
            while self._live or not self._others:
                tid, status = self._wait()
                if tid:
                    self._handle(tid, status)
        except ChildProcessError:
            return
        finally:
            self.ended.set()

    def _wait(self) -> tuple[int, int]:
        """The next stop; (0, 0) after a moment while a child waits for its birth to be told.

        A parent that is killed while it forks may never tell.
        """
        if not self._parked:
            return os.waitpid(-1, ptrace.WAIT_OURS)
        found = os.waitpid(-1, ptrace.WAIT_OURS | os.WNOHANG)
        if not found[0]:
            time.sleep(_POLL)
            now = time.monotonic()
            for tid in [tid for tid, since in self._parked.items() if now - since > _PATIENCE]:
                self._adopt_orphan(tid)
        return found

    def _adopt_orphan(self, tid: int) -> None:
        del self._parked[tid]
        if self.image_of(tid) is None and self._first is not None:
            self.images[tid] = self._first
        ptrace.resume(tid)

    def _handle(self, tid: int, status: int) -> None:
        stop = decode_status(status)
        match stop:
            case Exited():
                self._exited(tid, stop)
            case SignalDelivery():
                if tid == self.root:
                    self.delivered[stop.signal] = time.monotonic()
                self._restarts.before_delivery(tid)
                ptrace.resume(tid, stop.signal)
            case Event.BIRTH:
                self._born(tid)
                ptrace.resume(tid)
            case Event.EXEC:
                self._executed(tid)
                ptrace.resume(tid)
            case Event.GROUP_STOP:
                ptrace.listen(tid)
            case Event.FIRST_STOP:
                self._live.add(tid)
                if tid in self.images or tid == self.root:
                    ptrace.resume(tid)
                else:
                    self._parked[tid] = time.monotonic()
            case Event.OTHER:
                ptrace.resume(tid)
            case _:
                assert_never(stop)

    def _born(self, tid: int) -> None:
        child = ptrace.event_message(tid)
        if child is None:  # killed at this very stop: the kernel tells of the child by itself
            return
        image = self.images.get(tid)
        if image is not None:
            self.images[child] = image
        self._live.add(child)
        if self._parked.pop(child, None) is not None:
            ptrace.resume(child)

    def _executed(self, tid: int) -> None:
        """The process runs another program. All its other threads are gone (execve(2))."""
        former = ptrace.event_message(tid) or tid
        previous = self.images.pop(former, None)
        if previous is not None and self._owners.get(previous) == tid:
            del self._owners[previous]
        exe = tracee.link(b"/proc/%d/exe" % tid)
        name = os.fsdecode(exe) if exe is not None else "(deleted)"
        image = self._recorder.process(previous, name, tracee.command_line(tid))
        self._owners[image] = tid
        self._first = image if self._first is None else self._first
        if former != tid:  # its own report of death never comes (ptrace(2), execve under ptrace)
            self._live.discard(former)
        self.images[tid] = image
        self._execs.commit(former, image, exe)

    def _exited(self, tid: int, stop: Exited) -> None:
        image = self.images.pop(tid, None)
        self._parked.pop(tid, None)
        self._live.discard(tid)
        if image is not None and self._owners.get(image) == tid:
            del self._owners[image]
            self._recorder.exited(image, stop.status)
        if tid == self.root:
            self.root_exit = stop

    # For other threads

    def image_of(self, tid: int) -> int | None:
        """The process image of a thread, also of one that the kernel did not tell of.

        A child made with CLONE_UNTRACED has no birth; it runs what its process or parent runs.
        """
        image = self.images.get(tid)
        if image is not None:
            return image
        for relative in (tracee.owner(tid), tracee.parent(tid)):
            if relative is not None and relative in self.images:
                image = self.images[relative]
                self.images.setdefault(tid, image)
                return image
        return None

    def signal_app(self, number: int) -> None:
        """Send a signal to the app: its first process, or all that is left when that is gone."""
        if self.root is not None and self.root_exit is None:
            _kill(self.root, number)
            return
        self.signal_all(number)

    def signal_all(self, number: int) -> None:
        """Send a signal to every process that is traced."""
        for process in {tracee.owner(tid) for tid in [*self.images]}:
            if process is not None:
                _kill(process, number)

    def kill(self) -> None:
        """End every tracee now."""
        if self.root is not None and self.root_exit is None:
            _kill(self.root, signal.SIGKILL)
        self.signal_all(signal.SIGKILL)


def _children() -> set[int]:
    """The processes that this one has already: a shell may have made them before it exec'd us."""
    found: set[int] = set()
    for task in os.listdir("/proc/self/task"):
        try:
            with open(f"/proc/self/task/{task}/children") as file:
                found.update(map(int, file.read().split()))
        except OSError:  # a kernel without CONFIG_PROC_CHILDREN
            continue
    return found


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
