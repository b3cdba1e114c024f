"""A new process of the sandbox, from its fork to the exec of its command."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Never

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.host.which import cannot_execute, find_program
from slimtrace.tracer.kernel import process
from slimtrace.tracer.kernel.namespaces import CLONE_NEWUSER, enter_namespace, unshare
from slimtrace.tracer.kernel.seccomp import set_no_new_privs
from slimtrace.tracer.sandbox.capabilities import limit_capabilities
from slimtrace.tracer.sandbox.failure_message import encode_failure
from slimtrace.tracer.sandbox.mounts import leave_old_root, mount_proc
from slimtrace.tracer.sandbox.reaper import reap
from slimtrace.tracer.sandbox.userns import (
    User,
    explain_refusal,
    map_single_user,
    switch_user,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig

_FAILED = 127


class ProcessPlan(NamedTuple):
    """What processes of the sandbox must do before their exec.

    :ivar is_mapped: whether the app's user exists; else each process makes or enters a user
        namespace in which it does.
    :ivar groups: the supplementary groups, as from :func:`find_groups`.
    :ivar has_old_root: whether the working directory is the old root, which the first one leaves.
    :ivar is_apart: as of :class:`~slimtrace.tracer.sandbox.mounts.EnteredImage`.
    :ivar mounts_proc: whether the first must mount /proc: it shows the PID namespace of who mounts
        it.
    :ivar user_namespace: a descriptor of the first one's, if that made one.
    """

    is_mapped: bool
    groups: tuple[int, ...] | None
    has_old_root: bool = False
    is_apart: bool = True
    mounts_proc: bool = False
    user_namespace: int | None = None


@dataclass(frozen=True, slots=True)
class AppProcess:
    """A process that becomes the app, or another command. :meth:`run` does not return.

    :ivar control: to the tracer: ``here``, with our number in its PID namespace; it answers when
        it follows our calls.
    :ivar report: to the supervisor: a failure, or our user namespace; an exec closes it.
    :ivar mask: the signals to block in the command.
    :ivar output: descriptors for its input and its output; None for those that it has.
    :ivar is_first: whether it is the first process: it completes what later ones share.
    """

    config: SandboxConfig
    argv: Sequence[str]
    control: socket.socket
    report: socket.socket
    mask: Iterable[int]
    output: tuple[int, int] | None
    is_first: bool
    plan: ProcessPlan

    def run(self) -> Never:
        """Become the command; with a reaper that is the child of process 1."""
        try:
            self._start_session()
            if self.is_first and self.config.has_reaper:
                self._fork_below_reaper()
            else:
                self._await_tracer()
                if self.is_first:
                    self._complete_root()
            self._limit_rights()
            self._execute()
        except SlimtraceError as error:
            self._report(error)
        except OSError as error:
            cause = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
            hint = explain_refusal(error)
            self._report(SlimtraceError(f"cannot enter {self.config.tree}: {cause}", hint))
        finally:
            os._exit(_FAILED)

    @staticmethod
    def _start_session() -> None:
        """Leave the caller's session, and with it the terminal and process group (setsid(2)).

        An app could type into the terminal (TIOCSTI in ioctl_tty(2)), and ``kill(0, …)`` reaches
        the group's processes in every PID namespace.
        """
        with suppress(PermissionError):  # it leads a process group already
            os.setsid()

    def _fork_below_reaper(self) -> None:
        """Return in a child; process 1 completes the root once the tracer follows the child."""
        asked, asks = os.pipe()
        done, does = os.pipe()
        app = os.fork()
        if app == 0:
            for fd in (asked, does):
                os.close(fd)
            self._start_session()
            self._await_tracer()
            os.close(asks)
            os.read(done, 1)
            os.close(done)
            return
        os.close(asks)
        os.read(asked, 1)
        self._complete_root()
        if self.plan.is_mapped:
            limit_capabilities(self.config.capabilities)
            switch_user(self._user, self.plan.groups)
        process.set_parent_death_signal(signal.SIGKILL)
        reap(app)

    def _await_tracer(self) -> None:
        """Say that we are here, and wait until the tracer follows our calls."""
        os.write(self.control.fileno(), b"here")  # the kernel adds the sender's PID (unix(7))
        if not os.read(self.control.fileno(), 16):
            os._exit(_FAILED)

    def _complete_root(self) -> None:
        if self.plan.mounts_proc:
            mount_proc()
        if self.plan.has_old_root:
            leave_old_root(is_apart=self.plan.is_apart)

    def _limit_rights(self) -> None:
        """Enter the working directory, and become the app's user."""
        config = self.config
        try:
            os.chdir(config.workdir)
        except OSError as error:
            raise SlimtraceError(
                f"cannot enter the working directory {config.workdir}: {error.strerror}"
            ) from error
        if not self.plan.is_mapped:
            self._enter_user_namespace()
        limit_capabilities(config.capabilities)
        if self.plan.is_mapped:
            switch_user(self._user, self.plan.groups)
        if config.no_new_privileges:
            set_no_new_privs()
        process.become_dumpable()
        process.set_parent_death_signal(signal.SIGKILL)

    @property
    def _user(self) -> User:
        return User(self.config.account.uid, self.config.account.gid)

    def _enter_user_namespace(self) -> None:
        """Enter a user namespace in which the app's user exists: all processes share one."""
        if self.plan.user_namespace is not None:
            enter_namespace(self.plan.user_namespace, CLONE_NEWUSER)
            return
        ids = os.geteuid(), os.getegid()
        unshare(CLONE_NEWUSER)
        map_single_user(*self._user, *ids)
        with suppress(OSError):
            namespace = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
            socket.send_fds(self.report, [b"namespace"], [namespace])
            os.close(namespace)

    def _execute(self) -> None:
        program = find_program(self.argv[0], self.config.env.get("PATH", ""))
        if self.output is not None:
            stdin, output = self.output
            os.dup2(stdin, 0)
            os.dup2(output, 2)
            os.dup2(2, 1)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)
        try:
            os.execve(program, [*self.argv], self.config.env)  # noqa: S606 -- the app itself
        except OSError as error:
            raise cannot_execute(program, error.errno or 0) from error

    def _report(self, error: SlimtraceError) -> None:
        with suppress(OSError):
            os.write(self.report.fileno(), encode_failure(error))
