"""Starts the app under the tracer: fork, seize, filter, exec, each side waiting for the other.

Nothing of the child's own set-up reaches the trace: the loop that reads notifications begins
when only the exec is left to do.
"""

from __future__ import annotations

import errno
import os
import shutil
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Never

from tracer import tracee
from tracer.errors import CannotExecuteError, CommandNotFoundError, SlimtraceError
from tracer.kernel import ptrace, seccomp

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_PTRACE_SCOPE = "/proc/sys/kernel/yama/ptrace_scope"
_EXEC_FAILED = 127


def find_program(name: str) -> str:
    """The file that the shell would run for ``name`` (execvp(3)).

    :raises CommandNotFoundError: there is none.
    :raises CannotExecuteError: it is a directory or may not be executed.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    candidates = (
        [name]
        if "/" in name
        else [os.path.join(folder or ".", name) for folder in os.get_exec_path()]
    )
    existing = next((path for path in candidates if name and os.path.exists(path)), None)
    if existing is None:
        where = "no such file" if "/" in name else "it is not on the PATH"
        raise CommandNotFoundError(f"cannot run {name or repr(name)}: {where}")
    cause = "it is a directory" if os.path.isdir(existing) else "permission denied"
    raise CannotExecuteError(f"cannot run {existing}: {cause}")


@dataclass(slots=True)
class Launch:
    """A child that waits, seized and filtered, to exec the app.

    :ivar pid: the child.
    :ivar listener: the descriptor of its filter's notifications.
    """

    pid: int
    listener: int
    _control: socket.socket
    _program: str

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
            number = int(data)
            missing = number == errno.ENOENT  # the file is there: its interpreter is not
            cause = "the interpreter that it names is missing" if missing else os.strerror(number)
            raise CannotExecuteError(f"cannot run {self._program}: {cause}")


def launch(program: str, argv: Sequence[str], code: bytes, mask: Iterable[int]) -> Launch:
    """Fork a child, seize it, and have it install the filter ``code``.

    Must be called by the thread that will run the ptrace loop, before other threads exist.

    :param mask: the signals that the app is to have blocked.
    :raises SlimtraceError: ptrace or seccomp is forbidden here; the hint says what to allow.
    """
    own, other = socket.socketpair()
    # With SIGCHLD ignored the kernel would reap the app, and its end would be lost (wait(2)).
    inherited = signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        own.close()
        signal.signal(signal.SIGCHLD, inherited)
        _child(program, argv, code, mask, other)
    other.close()
    try:
        ptrace.seize(pid)
    except OSError as error:
        own.close()
        os.waitpid(pid, 0)
        raise _forbidden("ptrace", error) from error
    own.send(b"x")
    data, fds, _, _ = socket.recv_fds(own, 16, 1)
    if not fds:
        own.close()
        os.waitpid(pid, ptrace.WAIT_OURS)
        number = int(data or b"0")
        raise _forbidden("seccomp", OSError(number, os.strerror(number)))
    return Launch(pid, fds[0], own, program)


def _child(
    program: str, argv: Sequence[str], code: bytes, mask: Iterable[int], control: socket.socket
) -> Never:
    """Never returns: what goes wrong is told through ``control`` as an errno."""
    try:
        if not control.recv(1):  # the tracer gave up
            os._exit(_EXEC_FAILED)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these; execs inherit it
            signal.signal(number, signal.SIG_DFL)
        fd = _install(code)
        socket.send_fds(control, [b"x"], [fd])
        os.close(fd)
        if control.recv(1):
            os.execv(program, [*argv])  # noqa: S606 -- the app itself
    except OSError as error:
        control.send(str(error.errno).encode())
    finally:
        os._exit(_EXEC_FAILED)


def _install(code: bytes) -> int:
    """The listener of the filter, with privileges kept where the kernel allows that."""
    flags = seccomp.FLAG_NEW_LISTENER | seccomp.FLAG_WAIT_KILLABLE_RECV
    for attempt in range(3):
        try:
            return seccomp.install(code, flags)
        except OSError as error:
            if error.errno == errno.EINVAL and attempt < 2:
                flags = seccomp.FLAG_NEW_LISTENER  # Linux before 5.19
            elif error.errno == errno.EACCES and attempt < 2:
                seccomp.set_no_new_privs()
            else:
                raise
    raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))


def _forbidden(what: str, error: OSError) -> SlimtraceError:
    tracer = tracee.tracer_of(os.getpid())
    if error.errno == errno.EBUSY or (what == "ptrace" and tracer):
        return SlimtraceError(
            "cannot trace: this process is being traced already",
            "run slimtrace outside the other tracer",
        )
    if what == "ptrace" and _ptrace_scope() == "3":
        hint = f"ptrace is switched off until the next boot by {_PTRACE_SCOPE}"
    elif what == "ptrace":
        hint = (
            "allow ptrace: in a container --cap-add SYS_PTRACE or a seccomp profile that allows "
            f"ptrace; on a host see {_PTRACE_SCOPE}"
        )
    elif error.errno in (errno.ENOSYS, errno.EINVAL):
        hint = "Linux 5.5 with seccomp user notification is needed"
    else:
        hint = "allow the seccomp call: in a container, a seccomp profile that allows seccomp"
    return SlimtraceError(f"cannot trace: {what} is refused: {error.strerror}", hint)


def _ptrace_scope() -> str | None:
    try:
        with open(_PTRACE_SCOPE) as file:
            return file.read().strip()
    except OSError:
        return None
