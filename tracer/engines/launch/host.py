"""Starts the app under the tracer: fork, filter, exec, each side waiting for the other.

Nothing of the child's own set-up reaches the trace: the loop that hears of calls begins when only
the exec is left to do.
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


_EXEC_FAILED = 127
NOTIFY = seccomp.FLAG_NEW_LISTENER | seccomp.FLAG_WAIT_KILLABLE_RECV


class HostLaunch:
    """A command that is to be executed by a child, which waits at each step to be told on.

    :param program: the file to execute.
    :param mask: the signals that the app is to have blocked.
    :param streams: its descriptors to what is to be put there.
    :ivar app: the app's first process, once it was forked.
    :ivar first: its parent, if that is traced as well.
    :ivar inside: what starts further commands, where that is possible.
    """

    def __init__(
        self, program: str, argv: Sequence[str], mask: Iterable[int], streams: Mapping[int, int]
    ) -> None:
        self.app = 0
        self.first: int | None = None
        self.inside = None
        self._program = program
        self._argv = argv
        self._mask = mask
        self._streams = streams
        self._control, self._child_end = socket.socketpair()
        # Ignored, as a caller may have left it, children's ends would be lost (wait(2)).
        self._sigchld = signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    @property
    def view(self) -> RootView:
        """How to look at the app's files."""
        return HOST_VIEW

    def under_guard(self, code: bytes) -> tuple[Guard, int]:
        """Fork a child under a guard; its filter ``code`` notifies the listener that returns.

        :raises CannotTraceError: seccomp is refused here.
        """
        guard = Guard.start(lambda _: self._child(code, NOTIFY))
        self.app = guard.child
        try:
            return guard, self._filtered()
        except CannotTraceError:
            guard.join()
            raise

    def seized(self, code: bytes | None, options: int) -> int:
        """Fork a child and seize it for ptrace, with a filter where there is ``code``; its pid.

        To be called by the thread that will run the ptrace loop, before other threads exist.

        :raises CannotTraceError: ptrace or seccomp is refused here.
        """
        pid = self.app = os.fork()
        if pid == 0:
            self._child(code, 0)
        try:
            ptrace.seize(pid, options)
            self._filtered()
        except OSError as error:
            self._control.close()
            os.waitpid(pid, ptrace.WAIT_OURS)
            raise CannotTraceError("ptrace", error.errno or 0) from error
        except CannotTraceError:
            os.waitpid(pid, ptrace.WAIT_OURS)
            raise
        return pid

    def _filtered(self) -> int:
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
        """See that the child's memory may be read; else it is told to end.

        :raises CannotTraceError: it may not.
        """
        try:
            MemoryReader().check(self.app)
        except OSError as error:
            self._control.close()
            raise CannotTraceError("process_vm_readv", error.errno or 0) from error

    def fork_app(self) -> None:
        """The child is the app: nothing is to be forked."""

    def go(self) -> None:
        """Let the child exec the app, unless it was killed already."""
        with suppress(ConnectionError):
            self._control.send(b"x")

    def check_executed(self) -> None:
        """After the app's end.

        :raises CannotExecuteError: the exec failed, and that was the end.
        """
        with self._control, suppress(ConnectionResetError):
            data = self._control.recv(16)
            if not data:
                return
            raise cannot_execute(self._program, int(data))

    def _child(self, code: bytes | None, flags: int) -> Never:
        """Never returns: what goes wrong is told through the socket as an errno."""
        control = self._child_end
        try:
            self._control.close()
            if not control.recv(1):  # the tracer gave up
                os._exit(_EXEC_FAILED)
            for number, stream in self._streams.items():
                os.dup2(stream, number)
            signal.signal(signal.SIGCHLD, self._sigchld or signal.SIG_DFL)
            for number in (signal.SIGPIPE, signal.SIGXFSZ):  # ignored by Python; execs inherit it
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            listener = -1 if code is None else install(code, flags)
            socket.send_fds(control, [b"x"], [listener] if flags else [])
            if flags:
                os.close(listener)
            if control.recv(1):
                os.execv(self._program, [*self._argv])  # noqa: S606 -- the app itself
        except OSError as error:
            control.send(str(error.errno).encode())
        finally:
            os._exit(_EXEC_FAILED)


def has_listener() -> bool:
    """Whether a filter of this process asks a listener: it would hide calls from other filters.

    Of all that filters answer the strictest counts, and to ask a listener is stricter than to
    tell a tracer (seccomp(2)). There can be one only, so another is refused.
    """
    pid = os.fork()
    if pid == 0:
        try:
            install(seccomp.allow_all(), seccomp.FLAG_NEW_LISTENER)
        except OSError as error:
            os._exit(error.errno or 0)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EBUSY


def install(code: bytes, flags: int) -> int:
    """Install the filter, with privileges kept where the kernel allows that."""
    for attempt in range(3):
        try:
            return seccomp.install(code, flags)
        except OSError as error:
            if error.errno == errno.EINVAL and attempt < 2:
                flags &= seccomp.FLAG_NEW_LISTENER  # Linux before 5.19
            elif error.errno == errno.EACCES and attempt < 2:
                seccomp.set_no_new_privs()
            else:
                raise
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
