"""A process between slimtrace and the app: the app's parent, and the heir of its orphans.

Where nothing is ptraced, nobody else could end the app when slimtrace is killed, know all of its
processes, or tell a signal to the whole process group from one to slimtrace alone: the guard
gets the former too. It waits for all of them, and ends when none is left.
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

from slimtrace.tracer.engines.ptrace.stops import exit_of
from slimtrace.tracer.kernel import process, ptrace
from slimtrace.tracer.kernel.namespaces import CLONE_NEWPID, unshare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slimtrace.tracer.result import ExitStatus

_TITLE = "app guard"
"""Not slimtrace: a pkill(1) of that name is meant for slimtrace, which passes the signal on."""
_PAUSE = 0.001
_MESSAGE = 64
_LONGEST = 10.0
"""Seconds for the kernel to end a PID namespace (zap_pid_ns_processes)."""


class Guard:
    """The tracer's end.

    :ivar pid: the guard.
    :ivar child: the child that it made.
    """

    def __init__(
        self, pid: int, child: int, watch: socket.socket, at_end: Callable[[], None] | None
    ) -> None:
        self.pid = pid
        self.child = child
        self.watch = watch
        self._lock = threading.Lock()
        self._exit: ExitStatus | None = None
        self._delivered: dict[int, float] = {}
        self._over = False
        self._at_end = at_end

    @classmethod
    def start(
        cls,
        child: Callable[[socket.socket], Never],
        *,
        apart: bool = False,
        at_end: Callable[[], None] | None = None,
    ) -> Guard:
        """Fork a guard, and have it fork a child that runs ``child`` with all signals blocked.

        :param child: is given a socket to say ``exit STATUS`` on, if the app is not itself.
        :param apart: have it be process 1 of a PID namespace: all of its processes end with it.
        :param at_end: what the guard is to do when no process is left, or the tracer where the
            guard was killed.
        :raises OSError: there may be no such namespace.
        """
        own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        tracer = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                _guard(other, tracer, child, apart=apart, at_end=at_end)
            finally:
                os._exit(1)
        other.close()
        number = int(own.recv(_MESSAGE))
        if number < 0:
            own.close()
            os.waitpid(pid, 0)
            raise OSError(-number, os.strerror(-number))
        return cls(pid, number, own, at_end)

    def exit_of_app(self) -> ExitStatus | None:
        """How the app's first process ended, or None while it lives."""
        self._hear()
        return self._exit

    def delivered(self, number: int) -> float:
        """When a signal last came to the process group, by time.monotonic(); or -inf."""
        self._hear()
        return self._delivered.get(number, float("-inf"))

    def processes(self) -> Iterator[int]:
        """The processes below the guard: all of the app."""
        import psutil  # noqa: PLC0415 -- 20 ms at every start, for what is rarely asked

        with suppress(psutil.NoSuchProcess):
            for below in psutil.Process(self.pid).children(recursive=True):
                yield below.pid

    def join(self) -> None:
        """Wait until no process of the app is left, and the guard neither."""
        if self.watch.fileno() < 0:
            return
        with self._lock:
            self.watch.setblocking(True)
            while not self._over:
                self._take(self.watch.recv(_MESSAGE))
        try:
            was_killed = os.waitpid(self.pid, 0)[1] != 0
        except ChildProcessError:  # a ptrace loop waits for all children
            was_killed = True
        if was_killed and self._at_end is not None:
            _wait_for_end(self.child)
            self._at_end()
        self.watch.close()

    def _hear(self) -> None:
        with self._lock, suppress(BlockingIOError):
            while not self._over:
                self._take(self.watch.recv(_MESSAGE, socket.MSG_DONTWAIT))

    def _take(self, message: bytes) -> None:
        what, _, number = message.partition(b" ")
        if what == b"exit":
            self._exit = self._exit or exit_of(int(number))
        elif what == b"got":
            self._delivered[int(number)] = time.monotonic()
        else:
            self._over = True


def _guard(
    watch: socket.socket,
    tracer: int,
    child: Callable[[socket.socket], Never],
    *,
    apart: bool,
    at_end: Callable[[], None] | None,
) -> Never:
    """The guard itself: it holds no descriptor but ``watch``, so that pipes end as they should."""
    signal.pthread_sigmask(signal.SIG_SETMASK, signal.valid_signals())
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    process.become_subreaper()
    if apart:
        try:
            unshare(CLONE_NEWPID)
        except OSError as error:
            watch.send(b"%d" % -(error.errno or 1))
            os._exit(1)
    app = os.fork()
    if app == 0:
        child(watch)
    process.rename(_TITLE)
    watch = _keep_only(watch)
    process.set_parent_death_signal(signal.SIGCHLD)
    watch.send(b"%d" % app)
    while _reap(watch, app):
        if os.getppid() != tracer:
            _end_all()
            break
        number = signal.sigwait(signal.valid_signals())
        if number != signal.SIGCHLD:
            with suppress(OSError):
                watch.send(b"got %d" % number)
    if at_end is not None:
        at_end()
    os._exit(0)


def _reap(watch: socket.socket | None, app: int) -> bool:
    """Wait for what has ended, and tell of the app; False when no process is left."""
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
    """Of a child of the guard, which the kernel kills after it: its own children are gone then."""
    with suppress(OSError):
        fd = os.pidfd_open(child)
        try:
            select.select([fd], [], [], _LONGEST)
        finally:
            os.close(fd)


def _end_all() -> None:
    """The tracer was killed: its app's calls would fail from now on."""
    import psutil  # noqa: PLC0415 -- as above

    own = psutil.Process()
    while _reap(None, 0):
        for below in own.children(recursive=True):
            with suppress(psutil.Error):
                below.kill()
        time.sleep(_PAUSE)


def _keep_only(watch: socket.socket) -> socket.socket:
    """The socket, above the standard descriptors, which lead nowhere; all others are closed."""
    kept = fcntl.fcntl(watch.fileno(), fcntl.F_DUPFD_CLOEXEC, 3)
    nothing = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nothing, standard)
    watch.detach()
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    return socket.socket(fileno=kept)
