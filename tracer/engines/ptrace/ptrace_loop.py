"""The ptrace loop: births, execs, calls, group-stops and deaths of every tracee."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, assert_never

from slimtrace.tracer.engines.ptrace.stops import PtraceEvent, SignalDelivery, decode_status
from slimtrace.tracer.kernel import ptrace
from slimtrace.tracer.kernel.ptrace import poke
from slimtrace.tracer.kernel.registers import Registers, set_first_argument
from slimtrace.tracer.process import magic_links, procfs
from slimtrace.tracer.result import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from slimtrace.tracer.decode.exec import ExecDecoder
    from slimtrace.tracer.kernel.memory import MemoryReader
    from slimtrace.tracer.record.recorder import Recorder

CLONE_UNTRACED = 0x00800000


def trace_child(tid: int, call: str, args: Sequence[int], memory: MemoryReader) -> None:
    """Take the flag from the clone or clone3 that a stopped thread is about to make."""
    if call == "clone":
        if args[0] & CLONE_UNTRACED:
            set_first_argument(tid, args[0] & ~CLONE_UNTRACED)
        return
    flags = memory.number(tid, args[0], 8)  # the first member of struct clone_args (clone3(2))
    if flags is not None and flags & CLONE_UNTRACED:
        poke(tid, args[0], flags & ~CLONE_UNTRACED)


_POLL = 0.001
_PATIENCE = 0.2
"""Seconds; the birth of a child is told within microseconds of its first stop."""


class PtraceLoop:
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
        self._exit: ExitStatus | None = None
        self._first: int | None = None
        self._app = self._parent = 0
        self._unborn: set[int] = set()
        self._detaching = False
        self._registers = Registers()
        self.images: dict[int, int] = {}
        self.called: Callable[[int], object] = self.go_on

    def begin(self, recorder: Recorder, execs: ExecDecoder, called: Callable[[int], None]) -> None:
        """Record from now on; ``called`` is to let the threads that it is given go on."""
        self._recorder, self._execs, self.called = recorder, execs, called

    def adopt(self, pid: int, *, is_app: bool) -> None:
        """Follow a process that this thread seized: the app before its exec, or its parent.

        The parent's calls are no app's, and those of its children neither before their execs.
        """
        if is_app:
            self._app = pid
        else:
            self._parent = pid
        self._unborn.add(pid)
        self._live.add(pid)
        self._others.discard(pid)

    def await_app(self) -> int:
        """Handle stops until the parent forked the app; its process.

        :raises ChildProcessError: it ended instead.
        """
        while not self._app and self._live:
            self._handle(*os.waitpid(-1, ptrace.WAIT_OWN))
        return self._app

    def is_unborn(self, tid: int) -> bool:
        """Whether this is a child that has not executed its command yet."""
        return tid in self._unborn

    def join(self, tid: int, image: int, *, owner: bool) -> None:
        """Follow a thread that runs already, seized by this thread.

        :param owner: whether it is the first thread of the process that runs the image.
        """
        self._live.add(tid)
        self.images[tid] = image
        if owner:
            self._owners[image] = tid
        self._first = image if self._first is None else self._first

    @property
    def lives(self) -> bool:
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
        """Handle the stops that there are now."""
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
        """Have every tracee stop, to be let go for good at that stop, and at no other.

        Only there can a call that the stop ended be made again (Registers.spare).
        """
        self._detaching = True
        for tid in [*self._live]:
            if tid in self._parked:
                self._detach(tid)
            else:
                ptrace.interrupt(tid)

    def go_on(self, tid: int, signal: int = 0) -> None:
        """Let a stopped thread run, delivering ``signal``."""
        if self._detaching:
            ptrace.interrupt(tid)  # again: any other stop takes back what was asked for
        self._resume(tid, signal)

    def _detach(self, tid: int) -> None:
        self._registers.spare(tid)
        ptrace.detach(tid)
        self._live.discard(tid)
        self._parked.pop(tid, None)
        self.images.pop(tid, None)

    def _wait(self) -> tuple[int, int]:
        """The next stop; (0, 0) after a moment while a child waits for its birth to be told.

        A parent that is killed while it forks may never tell.
        """
        if not self._parked:
            return os.waitpid(-1, ptrace.WAIT_OWN)
        found = os.waitpid(-1, ptrace.WAIT_OWN | os.WNOHANG)
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
        self.go_on(tid)

    def _handle(self, tid: int, status: int) -> None:  # noqa: C901, PLR0912 -- a branch for each
        stop = decode_status(status)
        match stop:
            case ExitStatus():
                self._exited(tid, stop)
            case SignalDelivery():
                if tid == self._app:
                    self._delivered[stop.signal] = time.monotonic()
                self.go_on(tid, stop.signal)
            case PtraceEvent.BIRTH:
                self._born(tid)
                self.go_on(tid)
            case PtraceEvent.EXEC:
                self._executed(tid)
                self.go_on(tid)
            case PtraceEvent.CALL:
                self.called(tid)
            case PtraceEvent.GROUP_STOP | PtraceEvent.FIRST_STOP if self._detaching:
                self._detach(tid)
            case PtraceEvent.GROUP_STOP:
                ptrace.listen(tid)
            case PtraceEvent.FIRST_STOP:
                self._live.add(tid)
                self._registers.spare(tid)
                if tid in self.images or tid in self._unborn:
                    self.go_on(tid)
                else:
                    self._parked[tid] = time.monotonic()
            case PtraceEvent.OTHER:
                self.go_on(tid)
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
        if tid == self._parent:
            self._app = self._app or child
            self._unborn.add(child)
        if self._parked.pop(child, None) is not None:
            self.go_on(child)

    def _executed(self, tid: int) -> None:
        """The process runs another program. All its other threads are gone (execve(2))."""
        former = ptrace.event_message(tid) or tid
        previous = self.images.pop(former, None)
        if previous is not None and self._owners.get(previous) == tid:
            del self._owners[previous]
        exe = magic_links.read_link(b"/proc/%d/exe" % tid)
        name = os.fsdecode(exe) if exe is not None else "(deleted)"
        image = self._recorder.process(previous, name, procfs.read_command_line(tid))
        self._owners[image] = tid
        self._first = image if self._first is None else self._first
        self._unborn.discard(tid)
        if former != tid:  # its own report of death never comes (ptrace(2), execve under ptrace)
            self._live.discard(former)
        self.images[tid] = image
        self._execs.commit(former, image, exe)
        self._recorder.flush()

    def _exited(self, tid: int, stop: ExitStatus) -> None:
        image = self.images.pop(tid, None)
        self._parked.pop(tid, None)
        self._live.discard(tid)
        self._unborn.discard(tid)
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
        for relative in procfs.read_tgid_and_ppid(tid) or ():
            if relative in self.images:
                image = self.images[relative]
                self.images.setdefault(tid, image)
                return image
        return None

    # As a Keeper, for other threads

    def read_exit_status(self) -> ExitStatus | None:
        return self._exit

    def last_delivery(self, number: int) -> float:
        return self._delivered.get(number, float("-inf"))

    def list_processes(self) -> Iterable[int]:
        owners = {procfs.read_tgid(tid) for tid in [*self.images]}
        return [owner for owner in owners if owner is not None]


def _children() -> set[int]:
    """The processes that this one has already: a shell may have made them before it exec'd us."""
    own = os.getpid()
    return {
        child for thread in procfs.list_threads(own) for child in procfs.list_children(own, thread)
    }
