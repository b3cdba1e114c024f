"""The ptrace loop: births, execs, calls, group-stops and deaths of every tracee."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, assert_never

from tracer import tracee
from tracer.engines.stops import Event, Exited, SignalDelivery, decode_status
from tracer.kernel import ptrace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tracer.decode.execs import Execs
    from tracer.recorder import Recorder

_POLL = 0.001
_PATIENCE = 0.2
"""Seconds; the birth of a child is told within microseconds of its first stop."""


class Lifecycle:
    """Which process image each thread runs. One thread loops; another may ask as a Keeper.

    :ivar images: live thread ids to ids of process images.
    :ivar called: told of each thread that stopped at a call.
    """

    def __init__(self, *, every_call: bool) -> None:
        """Begin with no tracee.

        :param every_call: stop at every call, not only at those that a filter picks.
        """
        self._resume = ptrace.resume_to_call if every_call else ptrace.resume
        self._owners: dict[int, int] = {}  # process image → the process whose exec made it
        self._parked: dict[int, float] = {}  # first stops that came before their birth, since when
        self._live: set[int] = set()  # what must end before the run does
        self._others = _children()  # what was here before, and is not waited for
        self._delivered: dict[int, float] = {}  # to the app's first process
        self._exit: Exited | None = None
        self._first: int | None = None
        self._app = 0
        self.images: dict[int, int] = {}
        self.called: Callable[[int], object] = self._resume

    def begin(self, recorder: Recorder, execs: Execs, called: Callable[[int], None]) -> None:
        """Record from now on; ``called`` is to let the threads that it is given go on."""
        self._recorder, self._execs, self.called = recorder, execs, called

    def adopt(self, pid: int) -> None:
        """Follow the app's first process, which this thread seized; its exec is yet to come."""
        self._app = pid
        self._live.add(pid)
        self._others.discard(pid)

    def is_unborn(self, tid: int) -> bool:
        """Whether this is the child that has not executed the app yet."""
        return tid == self._app and self._first is None

    def loop(self) -> None:
        """Handle stops until no tracee is left."""
        try:
            while self._live or not self._others:
                tid, status = self._wait()
                if tid:
                    self._handle(tid, status)
        except ChildProcessError:
            return

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
        self._resume(tid)

    def _handle(self, tid: int, status: int) -> None:  # noqa: C901 -- one branch for each stop
        stop = decode_status(status)
        match stop:
            case Exited():
                self._exited(tid, stop)
            case SignalDelivery():
                if tid == self._app:
                    self._delivered[stop.signal] = time.monotonic()
                self._resume(tid, stop.signal)
            case Event.BIRTH:
                self._born(tid)
                self._resume(tid)
            case Event.EXEC:
                self._executed(tid)
                self._resume(tid)
            case Event.CALL:
                self.called(tid)
            case Event.GROUP_STOP:
                ptrace.listen(tid)
            case Event.FIRST_STOP:
                self._live.add(tid)
                if tid in self.images or tid == self._app:
                    self._resume(tid)
                else:
                    self._parked[tid] = time.monotonic()
            case Event.OTHER:
                self._resume(tid)
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
            self._resume(child)

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
        if tid == self._app:
            self._exit = stop

    def image_of(self, tid: int) -> int | None:
        """The process image of a thread, also of one that the kernel did not tell of.

        A child made with CLONE_UNTRACED has no birth; it runs what its process or parent runs.
        """
        image = self.images.get(tid)
        if image is not None:
            return image
        for relative in tracee.relatives(tid) or ():
            if relative in self.images:
                image = self.images[relative]
                self.images.setdefault(tid, image)
                return image
        return None

    # As a Keeper, for other threads

    def exit_of_app(self) -> Exited | None:
        return self._exit

    def delivered(self, number: int) -> float:
        return self._delivered.get(number, float("-inf"))

    def processes(self) -> Iterable[int]:
        owners = {tracee.owner(tid) for tid in [*self.images]}
        return [owner for owner in owners if owner is not None]


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
