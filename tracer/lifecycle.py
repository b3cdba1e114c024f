"""The ptrace loop: births, execs, group-stops and deaths of every tracee → the process tree."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, assert_never

from tracer import tracee
from tracer.kernel import ptrace
from tracer.stops import Event, Exited, SignalDelivery, decode_status

if TYPE_CHECKING:
    from tracer.decode.execs import Execs
    from tracer.recorder import Recorder
    from tracer.restart import Restarts


class Lifecycle:
    """Which process image each thread runs. One thread loops; another may read ``images``.

    :ivar images: live thread ids to ids of process images.
    :ivar ended: set when no tracee is left.
    """

    def __init__(self, recorder: Recorder, execs: Execs, restarts: Restarts) -> None:
        self._recorder = recorder
        self._execs = execs
        self._restarts = restarts
        self._owners: dict[int, int] = {}  # process image → the process whose exec made it
        self._parked: set[int] = set()  # first stops that came before their birth was told
        self.images: dict[int, int] = {}
        self.ended = threading.Event()
        self.root: int | None = None
        self.root_exit: Exited | None = None

    def adopt(self, pid: int) -> None:
        """Follow the app's first process, which this thread seized; its exec is yet to come."""
        self.root = pid

    def loop(self) -> None:
        """Handle stops until no tracee is left."""
        try:
            while True:
                try:
                    tid, status = os.waitpid(-1, ptrace.WAIT_OURS)
                except ChildProcessError:
                    return
                self._handle(tid, status)
        finally:
            self.ended.set()

    def _handle(self, tid: int, status: int) -> None:
        stop = decode_status(status)
        match stop:
            case Exited():
                self._exited(tid, stop)
            case SignalDelivery():
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
                if tid in self.images or tid == self.root:
                    ptrace.resume(tid)
                else:
                    self._parked.add(tid)
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
        if child in self._parked:
            self._parked.remove(child)
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
        self.images[tid] = image
        self._execs.commit(former, image, exe)

    def _exited(self, tid: int, stop: Exited) -> None:
        image = self.images.pop(tid, None)
        self._parked.discard(tid)
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


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
