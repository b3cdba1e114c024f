"""Process 1 of a traced sandbox: sets it up, installs the filter, starts commands, reaps children.

It is the parent of all traced processes, so one seccomp listener receives all their calls. No
process inside can kill it (pid_namespaces(7)). It ends after the app's first process; the kernel
then kills all other processes.

It talks to the tracer with write(2) and sendmsg(2), because its own filter stops send(2). The end
of the app is reported on a second socket.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import socket
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Never

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.host.which import cannot_execute, find_program
from slimtrace.tracer.kernel import process, ptrace
from slimtrace.tracer.kernel.loopback import raise_loopback
from slimtrace.tracer.kernel.namespaces import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    unshare,
)
from slimtrace.tracer.kernel.seccomp import set_no_new_privs
from slimtrace.tracer.sandbox.capabilities import limit_capabilities
from slimtrace.tracer.sandbox.failure_message import encode_failure
from slimtrace.tracer.sandbox.mounts import enter_image, make_root_read_only
from slimtrace.tracer.sandbox.sandbox_config import list_mounted_files
from slimtrace.tracer.sandbox.userns import (
    User,
    explain_refusal,
    is_in_first_namespace,
    is_mapped,
    map_single_user,
    switch_user,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from slimtrace.tracer.sandbox.overlay import OverlayMount, ScratchFolder
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig

_FAILED = 125
_TITLE = "app init"
_MAX_COMMAND_BYTES = 1 << 20


class SandboxInit:
    """Process 1 of the sandbox. :meth:`run` does not return.

    :param config: how to set up the sandbox.
    :param folder: the scratch folder.
    :param control: a SOCK_SEQPACKET socket: requests from the tracer, and their results.
    :param watch: a socket to the tracer for ``exit STATUS`` of the app (wait(2)).
    :param mask: the signals to block in commands.
    :param streams: descriptor of the app → our descriptor that replaces it.
    :param becomes_app: whether this process executes the app itself, which is then process 1, as
        in a container.
    """

    def __init__(
        self,
        config: SandboxConfig,
        folder: ScratchFolder,
        argv: Sequence[str],
        control: socket.socket,
        watch: socket.socket,
        mask: Iterable[int],
        streams: Mapping[int, int],
        *,
        becomes_app: bool = False,
    ) -> None:
        self._becomes_app = becomes_app
        self._config = config
        self._folder = folder
        self._argv = argv
        self._control = control
        self._watch = watch
        self._mask = [*mask]
        self._streams = streams
        self._stderr = 2
        self._app_pid = self._command_pid = 0

    def run(self, install: Callable[[], int] | None) -> Never:
        """Set up the sandbox, start the app, and serve requests until the app ends.

        :param install: installs the filter and returns its listener, or 0; None for no filter.
        """
        try:
            self._set_up()
            self._start_app(install)
        except SlimtraceError as error:
            self._send(encode_failure(error))
        except OSError as error:
            cause = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
            failure = SlimtraceError(
                f"cannot enter {self._config.tree}: {cause}", explain_refusal(error)
            )
            self._send(encode_failure(failure))
        finally:
            os._exit(_FAILED)

    # Before the filter

    def _set_up(self) -> None:
        """Create the namespaces, switch to the app's user, and send the root to the tracer."""
        self._put_streams()
        self._close_descriptors()
        process.rename_process(_TITLE)
        config = self._config
        os.umask(0o022)
        user = User(config.account.uid, config.account.gid)
        nested, own_xattrs = not is_mapped(user), not is_in_first_namespace()
        unshare(
            CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | (0 if config.has_network else CLONE_NEWNET)
        )
        if not config.has_network:
            raise_loopback()
        self._set_hostname()
        laid = enter_image(
            config.tree,
            self._folder.path,
            files=list_mounted_files(self._folder.path),
            volumes=config.volumes,
            own_xattrs=own_xattrs,
            below=config.below,
        )
        sys.path.clear()  # these paths are the image's now
        sys.meta_path.clear()
        self._enter_workdir()
        if nested:
            ids = os.geteuid(), os.getegid()
            unshare(CLONE_NEWUSER)
            map_single_user(*user, *ids)
        limit_capabilities(config.capabilities)
        if not nested:
            switch_user(user, config.account.groups)
        set_no_new_privs()
        process.forget_environment()
        process.become_dumpable()
        process.set_parent_death_signal(signal.SIGKILL)
        self._hand_over_root(laid)

    def _put_streams(self) -> None:
        """Put the app's streams in place, and keep our stderr for commands.

        The app's user gets the streams, so that the app may open /dev/stdout.
        """
        if 2 in self._streams:
            self._stderr = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)
        account = self._config.account
        for number, stream in self._streams.items():
            with suppress(OSError):  # fails for a UID that is not mapped here
                os.fchown(stream, account.uid, account.gid)
            os.dup2(stream, number)

    def _close_descriptors(self) -> None:
        """Close other descriptors: one of a directory outside would be a way out of the sandbox."""
        kept = {
            0,
            1,
            2,
            self._stderr,
            self._control.fileno(),
            self._watch.fileno(),
            self._folder.lock,
        }
        ends = sorted(kept)
        for low, high in zip(ends, [*ends[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
            os.closerange(low + 1, high)

    def _set_hostname(self) -> None:
        name = self._config.hostname
        try:
            socket.sethostname(name)
        except OSError as error:  # EINVAL: longer than 64 bytes (sethostname(2))
            raise SlimtraceError(
                f"cannot set the host name {name}: {error.strerror}", "use at most 64 bytes"
            ) from error

    def _enter_workdir(self) -> None:
        workdir = self._config.workdir
        try:
            os.makedirs(workdir, exist_ok=True)
            if self._config.read_only:
                make_root_read_only(self._config.declared_volumes)
            os.chdir(workdir)
        except OSError as error:
            raise SlimtraceError(
                f"cannot enter the working directory {workdir}: {error.strerror}"
            ) from error

    def _hand_over_root(self, laid: OverlayMount) -> None:
        """Do what the filter would stop later, and send the root directory to the tracer."""
        self._dev_null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; execs inherit it
            signal.signal(ignored, signal.SIG_DFL)
        self._wakeup, wakes = os.pipe()
        for end in (self._wakeup, wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        number = 1
        with suppress(OSError, ValueError):
            number = int(os.readlink("/proc/self"))
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        message = {"number": number, "instead": laid.instead, "why": laid.why}
        socket.send_fds(self._control, [json.dumps(message).encode()], [root])
        os.close(root)

    def _start_app(self, install: Callable[[], int] | None) -> None:
        """Wait for the tracer's request, install the filter, and start the app."""
        if not os.read(self._control.fileno(), 16):
            return
        program = self._find_program(self._argv)
        try:
            listener = 0 if install is None else install()
        except OSError as error:
            os.write(self._control.fileno(), b"%d" % (error.errno or 0))
            return
        socket.send_fds(self._control, [b"x"], [listener] if listener else [])
        if listener:
            os.close(listener)
        if os.read(self._control.fileno(), 16):
            if self._becomes_app:
                self._become_app(program)
            self._app_pid = self._start(self._argv, program, is_app=True)
            self._serve()

    def _become_app(self, program: str) -> Never:
        """Execute the app in this process; the exec closes our descriptors."""
        os.write(self._control.fileno(), b"here")
        if os.read(self._control.fileno(), 16):
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
            try:
                os.execve(program, [*self._argv], self._config.env)  # noqa: S606 -- the app itself
            except OSError as error:
                self._send(encode_failure(cannot_execute(program, error.errno or 0)))
        os._exit(127)

    # With the filter: no call here may have a path argument before the tracer answers calls

    def _start(self, argv: Sequence[str], program: str, *, is_app: bool) -> int:
        """Fork a command, which waits for the tracer, and send whether it was executed."""
        failure_reader, failure_writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            self._execute(argv, program, failure_writer, is_app=is_app)
        os.close(failure_writer)
        failure = os.read(failure_reader, 16)
        os.close(failure_reader)
        if failure:
            self._send(encode_failure(cannot_execute(program, int(failure))))
        else:
            self._send(b"executed")
        return pid

    def _execute(self, argv: Sequence[str], program: str, failures: int, *, is_app: bool) -> Never:
        try:
            os.write(self._control.fileno(), b"here")  # the kernel adds the sender's PID (unix(7))
            if os.read(self._control.fileno(), 16):
                if not is_app:
                    os.dup2(self._dev_null, 0)
                    os.dup2(self._stderr, 2)
                    os.dup2(2, 1)
                signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
                os.execve(program, [*argv], self._config.env)  # noqa: S606 -- the app itself
        except OSError as error:
            os.write(failures, b"%d" % (error.errno or 0))
        finally:
            os._exit(127)

    def _serve(self) -> Never:
        """Reap children and start the commands that the tracer requests, until the app ends."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while True:
            self._reap()
            for fd, _ in poll.poll():
                if fd == self._wakeup:
                    with suppress(BlockingIOError):
                        os.read(fd, 4096)
                elif not self._run_command():
                    poll.unregister(self._control)

    def _run_command(self) -> bool:
        data = os.read(self._control.fileno(), _MAX_COMMAND_BYTES)
        if not data:
            return False
        argv = json.loads(data)
        try:
            program = self._find_program(argv)
        except SlimtraceError as error:
            self._send(encode_failure(error))
        else:
            self._command_pid = self._start(argv, program, is_app=False)
        return True

    def _reap(self) -> None:
        with suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG | ptrace.WAIT_ALL))[0]:
                pid, status = ended
                if pid == self._app_pid:
                    os.write(self._watch.fileno(), b"exit %d" % status)
                    os._exit(0)
                if pid == self._command_pid:
                    self._command_pid = 0
                    self._send(b"ended %d" % status)

    def _find_program(self, argv: Sequence[str]) -> str:
        return find_program(argv[0], self._config.env.get("PATH", ""))

    def _send(self, message: bytes) -> None:
        with suppress(OSError):
            os.write(self._control.fileno(), message)
