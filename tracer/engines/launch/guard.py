"""The guard: a process between slimtrace and the app, parent of the app and of its orphans.

Without ptrace, only such a process can kill the app when slimtrace is killed, and knows all
processes of the app. It also gets each signal that is sent to the whole process group, so
slimtrace can tell such a signal from one that was sent to slimtrace only. The guard waits for all
processes of the app and ends when none is left.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Never

from slimtrace.tracer.engines.ptrace.stops import decode_exit_status
from slimtrace.tracer.kernel import process, ptrace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slimtrace.tracer.result import ExitStatus

_TITLE = "app guard"
"""Not "slimtrace": a pkill(1) of that name is meant for slimtrace, which forwards the signal."""
_KILL_PAUSE_SECONDS = 0.001
_MAX_MESSAGE_BYTES = 64
_SUPERVISOR_END_SECONDS = 10.0
"""For the kernel to end all processes of a PID namespace (zap_pid_ns_processes)."""


class Guard:
    """The tracer's side of a guard.

    :ivar pid: the guard process.
    :ivar child: the child that it forked.
    :ivar watch: the socket on which the guard reports.
    """

    def __init__(
        self,
        pid: int,
        child: int,
        watch: socket.socket,
        at_end: Callable[[], None] | None,
        *,
        supervises: bool,
    ) -> None:
        self.pid = pid
        self.child = child
        self._supervisor = child if supervises else None
        self.watch = watch
        self._lock = threading.Lock()
        self._exit: ExitStatus | None = None
        self._delivered: dict[int, float] = {}
        self._is_over = False
        self._at_end = at_end

    @classmethod
    def start(
        cls,
        child: Callable[[socket.socket], Never],
        *,
        supervises: bool = False,
        at_end: Callable[[], None] | None = None,
    ) -> Guard:
        """Fork a guard, which forks a child that runs ``child`` with all signals blocked.

        :param child: gets a socket on which it can report ``exit STATUS``, if it is not the app.
        :param supervises: whether the child is no part of the app, but supervises it: what is
            left when it ends is killed.
        :param at_end: called by the guard when no process is left, or by the tracer where the
            guard was killed.
        :raises OSError: the namespace is refused.
        """
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tracer = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                _guard(other, tracer, child, supervises=supervises, at_end=at_end)
            finally:
                os._exit(1)
        other.close()
        number = int(own.recv(_MAX_MESSAGE_BYTES))
        return cls(pid, number, own, at_end, supervises=supervises)

    def read_exit_status(self) -> ExitStatus | None:
        """How the app's first process ended, or None while it lives."""
        self._receive()
        return self._exit

    def last_delivery(self, number: int) -> float:
        """When a signal last came to the process group, by time.monotonic(); -inf if never."""
        self._receive()
        return self._delivered.get(number, float("-inf"))

    def list_processes(self) -> Iterator[int]:
        """The descendants of the guard: all processes of the app."""
        import psutil  # noqa: PLC0415 -- the import takes 20 ms, and few runs need it

        with suppress(psutil.NoSuchProcess):
            for below in psutil.Process(self.pid).children(recursive=True):
                if below.pid != self._supervisor:
                    yield below.pid

    def join(self) -> None:
        """Wait until all processes of the app, and the guard, have ended."""
        if self.watch.fileno() < 0:
            return
        with self._lock:
            self.watch.setblocking(True)
            while not self._is_over:
                self._handle(self.watch.recv(_MAX_MESSAGE_BYTES))
        try:
            was_killed = os.waitpid(self.pid, 0)[1] != 0
        except ChildProcessError:  # a ptrace loop has waited for it, as for every child
            was_killed = True
        if was_killed and self._at_end is not None:
            _wait_for_end(self.child)
            self._at_end()
        self.watch.close()

    def _receive(self) -> None:
        with self._lock, suppress(BlockingIOError):
            while not self._is_over:
                self._handle(self.watch.recv(_MAX_MESSAGE_BYTES, socket.MSG_DONTWAIT))

    def _handle(self, message: bytes) -> None:
        event, _, number = message.partition(b" ")
        if event == b"exit":
            self._exit = self._exit or decode_exit_status(int(number))
        elif event == b"got":
            self._delivered[int(number)] = time.monotonic()
        else:
            self._is_over = True


def _guard(
    watch: socket.socket,
    tracer: int,
    child: Callable[[socket.socket], Never],
    *,
    supervises: bool,
    at_end: Callable[[], None] | None,
) -> Never:
    """The guard process. It closes all descriptors but ``watch``, so that pipes can end."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process.become_subreaper()
    app = os.fork()
    if app == 0:
        child(watch)
    process.rename_process(_TITLE)
    watch = _close_all_but(watch)
    process.set_parent_death_signal(signal.SIGCHLD)
    watch.send(b"%d" % app)
    while _wait_for_ended(watch, app):
        if os.getppid() != tracer or (supervises and not os.path.exists(f"/proc/{app}")):
            _kill_all()
            break
        number = signal.sigwait(signal.valid_signals())
        if number != signal.SIGCHLD:
            with suppress(OSError):
                watch.send(b"got %d" % number)
    if at_end is not None:
        at_end()
    os._exit(0)


def _wait_for_ended(watch: socket.socket | None, app: int) -> bool:
    """Wait for all that have ended, and report the app's end; False when no process is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG | ptrace.WAIT_ALL)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        if pid == app and watch is not None:
            with suppress(OSError):
                watch.send(b"exit %d" % status)


def _wait_for_end(child: int) -> None:
    """Wait for the end of a child of the guard, which then ends the app and waits for that."""
    with suppress(OSError):
        fd = os.pidfd_open(child)
        try:
            select.select([fd], [], [], _SUPERVISOR_END_SECONDS)
        finally:
            os.close(fd)


def _kill_all() -> None:
    """Kill the app: the tracer is gone, and the app's calls would fail from now on."""
    import psutil  # noqa: PLC0415 -- as above

    own = psutil.Process()
    while _wait_for_ended(None, 0):
        for below in own.children(recursive=True):
            with suppress(psutil.Error):
                below.kill()
        time.sleep(_KILL_PAUSE_SECONDS)


def _close_all_but(watch: socket.socket) -> socket.socket:
    """The socket, moved above 2; 0 to 2 become /dev/null, and all others are closed."""
    number = fcntl.fcntl(watch.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    watch.detach()
    os.closerange(3, number)
    os.closerange(number + 1, os.sysconf("SC_OPEN_MAX"))
    return socket.socket(fileno=number)
