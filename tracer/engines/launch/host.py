"""Starts the app on the host, under the tracer: fork, filter, exec; each side waits for the other.

The child's own set-up is not part of the trace: the loop that receives calls starts when only the
exec is left to do.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Never

from slimtrace.tracer.engines.launch.guard import Guard
from slimtrace.tracer.errors import CannotTraceError
from slimtrace.tracer.host.which import cannot_execute
from slimtrace.tracer.kernel import ptrace, seccomp
from slimtrace.tracer.kernel.memory import MemoryReader
from slimtrace.tracer.process.root_view import HOST_VIEW, RootView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


_EXEC_FAILED_STATUS = 127
LISTENER_FLAGS = seccomp.FLAG_NEW_LISTENER | seccomp.FLAG_WAIT_KILLABLE_RECV


class HostLaunch:
    """A :class:`~slimtrace.tracer.engines.launch.launcher.Launcher` on the host.

    The child waits before each step until slimtrace sends a byte.

    :param program: the file to execute.
    :param mask: the signals that the app blocks from the start.
    :param streams: standard descriptors to replace, each with the descriptor to put there.
    """

    def __init__(
        self, program: str, argv: Sequence[str], mask: Iterable[int], streams: Mapping[int, int]
    ) -> None:
        self.app_pid = 0
        self.app_is_process_one = False
        self.helpers: frozenset[int] = frozenset()
        self.spawner = None
        self._program = program
        self._argv = argv
        self._mask = mask
        self._streams = streams
        self._control, self._child_end = socket.socketpair()
        # Where the caller left it ignored, the exit statuses of children would be lost (wait(2)).
        self._sigchld = signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    @property
    def view(self) -> RootView:
        return HOST_VIEW

    def start_under_guard(self, code: bytes) -> tuple[Guard, int]:
        guard = Guard.start(lambda _: self._run_child(code, LISTENER_FLAGS))
        self.app_pid = guard.child
        try:
            return guard, self._install_filter()
        except CannotTraceError:
            guard.join()
            raise

    def start_seized(self, code: bytes | None, options: int) -> int:
        pid = self.app_pid = os.fork()
        if pid == 0:
            self._run_child(code, 0)
        try:
            ptrace.seize(pid, options)
            self._install_filter()
        except OSError as error:
            self._control.close()
            os.waitpid(pid, ptrace.WAIT_OWN)
            raise CannotTraceError("ptrace", error.errno or 0) from error
        except CannotTraceError:
            os.waitpid(pid, ptrace.WAIT_OWN)
            raise
        return pid

    def _install_filter(self) -> int:
        """Have the child install its filter; the listener's descriptor, or -1."""
        self._child_end.close()
        with suppress(ConnectionError):
            self._control.send(b"x")
        data, fds, _, _ = socket.recv_fds(self._control, 16, 1)
        if data == b"x":
            return fds[0] if fds else -1
        self._control.close()
        raise CannotTraceError("seccomp", int(data or b"0"))

    def check_memory(self) -> None:
        try:
            MemoryReader().check(self.app_pid)
        except OSError as error:
            self._control.close()
            raise CannotTraceError("process_vm_readv", error.errno or 0) from error

    def fork_app(self) -> int:
        """Nothing to do: the child is the app."""
        return 0

    def execute_app(self) -> None:
        with suppress(ConnectionError):
            self._control.send(b"x")

    def check_executed(self) -> None:
        with self._control, suppress(ConnectionResetError):
            data = self._control.recv(16)
            if not data:
                return
            raise cannot_execute(self._program, int(data))

    def _run_child(self, code: bytes | None, flags: int) -> Never:
        """The child: it sends an error as an errno through the socket, and never returns."""
        control = self._child_end
        try:
            self._control.close()
            if not control.recv(1):  # the tracer gave up
                os._exit(_EXEC_FAILED_STATUS)
            for number, stream in self._streams.items():
                os.dup2(stream, number)
            signal.signal(signal.SIGCHLD, self._sigchld or signal.SIG_DFL)
            for number in (
                signal.SIGPIPE,
                signal.SIGXFSZ,
            ):  # Python ignores them, and an exec would keep that
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            listener = -1 if code is None else install_best_filter(code, flags)
            socket.send_fds(control, [b"x"], [listener] if flags else [])
            if flags:
                os.close(listener)
            if control.recv(1):
                os.execv(self._program, [*self._argv])  # noqa: S606 -- the app itself
        except OSError as error:
            control.send(str(error.errno).encode())
        finally:
            os._exit(_EXEC_FAILED_STATUS)


def has_listener() -> bool:
    """Whether a filter of this process notifies a listener: it would hide calls from our filter.

    The strictest answer of all filters counts, and to notify a listener is stricter than to stop
    for a tracer (seccomp(2)). A process can have only one listener, so the kernel refuses another.
    """
    pid = os.fork()
    if pid == 0:
        try:
            install_best_filter(seccomp.assemble_allow_all(), seccomp.FLAG_NEW_LISTENER)
        except OSError as error:
            os._exit(error.errno or 0)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EBUSY


def install_best_filter(code: bytes, flags: int) -> int:
    """Install the filter; without the no_new_privs attribute where the kernel allows that."""
    for attempt in range(3):
        try:
            return seccomp.install_filter(code, flags)
        except OSError as error:
            if error.errno == errno.EINVAL and attempt < 2:
                flags &= seccomp.FLAG_NEW_LISTENER  # Linux before 5.19
            elif error.errno == errno.EACCES and attempt < 2:
                seccomp.set_no_new_privs()
            else:
                raise
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
