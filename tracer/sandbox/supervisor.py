"""Supervises a traced sandbox from outside: sets it up, starts its processes, reports their ends.

It is in the sandbox's root and namespaces, except for the PID namespace: no process of the app sees
it or can reach it. The app is process 1 there, as in a container (pid_namespaces(7)), unless
``--init`` puts a reaper before it. Further commands have no parent in the namespace, as with
``podman exec``.

All traced processes are its children, so one seccomp listener receives all their calls. It talks
to the tracer with write(2) and sendmsg(2), because its own filter stops send(2). The end of the app
is reported on a second socket.
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
from typing import TYPE_CHECKING, Any, Never

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.host.container import suggest_namespaces
from slimtrace.tracer.host.which import find_program
from slimtrace.tracer.kernel import process, ptrace
from slimtrace.tracer.kernel.loopback import raise_loopback
from slimtrace.tracer.kernel.namespaces import (
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWUTS,
    unshare,
)
from slimtrace.tracer.sandbox.app_process import AppProcess, ProcessPlan
from slimtrace.tracer.sandbox.copied_root import describe_copy, enter_copy, link_program
from slimtrace.tracer.sandbox.failure_message import encode_failure
from slimtrace.tracer.sandbox.mounts import (
    enter_image,
    make_mounts_private,
    make_root_read_only,
)
from slimtrace.tracer.sandbox.sandbox_config import list_mounted_files
from slimtrace.tracer.sandbox.userns import (
    User,
    explain_refusal,
    find_groups,
    is_in_first_namespace,
    is_mapped,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from slimtrace.tracer.sandbox.overlay import ScratchFolder
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig

_FAILED = 125
_TITLE = "app supervisor"
_MAX_COMMAND_BYTES = 1 << 20
_MAX_REPORT_BYTES = 1 << 16


class Supervisor:
    """The parent of all processes of the sandbox. :meth:`run` does not return.

    :param config: how to set up the sandbox.
    :param folder: the scratch folder.
    :param control: a SOCK_SEQPACKET socket: requests from the tracer, and their results.
    :param watch: a socket to the tracer for ``exit STATUS`` of the app (wait(2)).
    :param mask: the signals to block in commands.
    :param streams: descriptor of the app → our descriptor that replaces it.
    :param command_output: our descriptor for the output of commands; None for our stderr.
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
        command_output: int | None = None,
    ) -> None:
        self._config = config
        self._folder = folder
        self._argv = argv
        self._control = control
        self._watch = watch
        self._mask = [*mask]
        self._streams = streams
        self._command_output = 2 if command_output is None else command_output
        self._parent = os.getppid()
        self._first_pid = self._command_pid = 0

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
        """Create the namespaces and the root, and send the root to the tracer."""
        self._put_streams()
        self._close_descriptors()
        # While there is a /proc:
        process.rename_process(_TITLE)
        process.forget_environment()
        process.join_new_keyring()
        number = int(os.readlink("/proc/self"))
        account = self._config.account
        self._plan = ProcessPlan(
            is_mapped=is_mapped(User(account.uid, account.gid)),
            groups=find_groups(account.groups),
        )
        os.umask(0o022)
        refusal = self._make_namespaces()
        about = self._enter_copy(refusal) if refusal else self._enter_namespaces()
        sys.path.clear()  # these paths are the image's now
        sys.meta_path.clear()
        self._prepare_root()
        if not refusal:
            unshare(CLONE_NEWPID)  # of the children; the first one is its process 1
        # As a signal like any other, because we must end the app before ourselves.
        process.set_parent_death_signal(signal.SIGCHLD)
        self._hand_over_root({"number": number, **about})

    def _make_namespaces(self) -> OSError | None:
        """Leave the namespaces of the outside; return the refusal where root may not do so."""
        has_network = self._config.has_network
        try:
            unshare(
                CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | (0 if has_network else CLONE_NEWNET)
            )
            make_mounts_private()
        except PermissionError as error:
            return error
        if not has_network:
            raise_loopback()
        return None

    def _enter_namespaces(self) -> dict[str, Any]:
        config = self._config
        notes = self._set_hostname()
        entered = enter_image(
            config.tree,
            self._folder.path,
            files=list_mounted_files(self._folder.path),
            volumes=config.volumes,
            own_xattrs=not is_in_first_namespace(),
            below=config.below,
        )
        self._plan = self._plan._replace(
            mounts_proc=entered.proc_is_missing, has_old_root=True, is_apart=entered.is_apart
        )
        return {
            **({"number": None} if entered.proc_is_missing else {}),
            "process_one": True,
            "grants": config.no_new_privileges or self._plan.is_mapped,
            "notes": [*notes, *entered.list_notes()],
        }

    def _enter_copy(self, refusal: OSError) -> dict[str, Any]:
        config = self._config
        files = list_mounted_files(self._folder.path)
        cause, hint = os.strerror(refusal.errno or 0), suggest_namespaces()
        prefix = enter_copy(config, self._folder.path, files)
        with suppress(SlimtraceError, OSError):
            link_program(find_program(self._argv[0], config.env.get("PATH", "")))
        process.become_subreaper()  # what is left of the app ends with us
        return {
            "process_one": False,
            "prefix": prefix,
            "grants": config.no_new_privileges or config.account.uid == 0,
            "notes": [describe_copy(cause, hint)],
        }

    def _put_streams(self) -> None:
        """Put the app's streams in place, and keep the output of commands.

        The app's user gets the streams, so that the app may open /dev/stdout.
        """
        if self._command_output == 2 and 2 in self._streams:
            self._command_output = fcntl.fcntl(2, fcntl.F_DUPFD_CLOEXEC, 3)
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
            self._command_output,
            self._control.fileno(),
            self._watch.fileno(),
            self._folder.lock,
        }
        ends = sorted(kept)
        for low, high in zip(ends, [*ends[1:], os.sysconf("SC_OPEN_MAX")], strict=True):
            os.closerange(low + 1, high)

    def _set_hostname(self) -> list[str]:
        """Set the host name; return what to say where that is refused, as by podman's profile."""
        name, now = self._config.hostname, socket.gethostname()
        try:
            if name != now:
                socket.sethostname(name)
        except PermissionError as error:
            return [f"the host name stays {now}: to change it is refused ({error.strerror})"]
        except OSError as error:  # EINVAL: longer than 64 bytes (sethostname(2))
            raise SlimtraceError(
                f"cannot set the host name {name}: {error.strerror}", "use at most 64 bytes"
            ) from error
        return []

    def _prepare_root(self) -> None:
        workdir = self._config.workdir
        try:
            os.makedirs(workdir, exist_ok=True)
            if self._config.read_only:
                make_root_read_only(self._config.declared_volumes)
        except OSError as error:
            raise SlimtraceError(
                f"cannot enter the working directory {workdir}: {error.strerror}"
            ) from error

    def _hand_over_root(self, about: dict[str, Any]) -> None:
        """Do what the filter would stop later, and send the root directory to the tracer.

        :param about: ``number``, ours in the sandbox's /proc, or null; ``process_one``, whether the
            first child is process 1; ``prefix``, the root's path in the tracer's root, if it has
            one; ``grants``, whether an exec grants privileges; ``notes`` for the user.
        """
        self._dev_null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # by Python; execs inherit it
            signal.signal(ignored, signal.SIG_DFL)
        self._wakeup, wakes = os.pipe()
        for end in (self._wakeup, wakes):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        socket.send_fds(self._control, [json.dumps(about).encode()], [root])
        os.close(root)

    def _start_app(self, install: Callable[[], int] | None) -> None:
        """Wait for the tracer's request, install the filter, and start the app."""
        if not os.read(self._control.fileno(), 16):
            return
        try:
            listener = 0 if install is None else install()
        except OSError as error:
            os.write(self._control.fileno(), b"%d" % (error.errno or 0))
            return
        socket.send_fds(self._control, [b"x"], [listener] if listener else [])
        if listener:
            os.close(listener)
        if os.read(self._control.fileno(), 16):
            self._first_pid = self._start(self._argv, is_app=True)
            self._serve()

    # With the filter: no call here may have a path argument before the tracer answers calls

    def _start(self, argv: Sequence[str], *, is_app: bool) -> int:
        """Fork a command, which waits for the tracer, and send whether it was executed."""
        reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.fork()
        if pid == 0:
            AppProcess(
                self._config,
                argv,
                control=self._control,
                report=writer,
                mask=self._mask,
                output=None if is_app else (self._dev_null, self._command_output),
                is_first=is_app,
                plan=self._plan,
            ).run()
        writer.close()
        if is_app and self._plan.has_old_root:
            os.chdir("/")  # the app has unmounted the old root, or will soon
        with reader:
            self._pass_on_report(reader)
        return pid

    def _pass_on_report(self, reader: socket.socket) -> None:
        """Wait until a command was executed, which closes its socket, or has failed."""
        while True:
            data, fds, _, _ = socket.recv_fds(reader, _MAX_REPORT_BYTES, 1)
            if fds:
                self._plan = self._plan._replace(user_namespace=fds[0])
            else:
                self._send(data or b"executed")
                return

    def _serve(self) -> Never:
        """Reap children and start the commands that the tracer requests, until the app ends."""
        poll = select.poll()
        poll.register(self._wakeup, select.POLLIN)
        poll.register(self._control, select.POLLIN)
        while True:
            self._reap()
            if os.getppid() != self._parent:
                os.kill(self._first_pid, signal.SIGKILL)
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
        self._command_pid = self._start(json.loads(data), is_app=False)
        return True

    def _reap(self) -> None:
        """Wait for all that have ended. With process 1 the kernel ends all others."""
        try:
            while (ended := os.waitpid(-1, os.WNOHANG | ptrace.WAIT_ALL))[0]:
                pid, status = ended
                if pid == self._first_pid:
                    with suppress(OSError):
                        os.write(self._watch.fileno(), b"exit %d" % status)
                    os._exit(0)
                if pid == self._command_pid:
                    self._command_pid = 0
                    self._send(b"ended %d" % status)
        except ChildProcessError:
            os._exit(0)

    def _send(self, message: bytes) -> None:
        with suppress(OSError):
            os.write(self._control.fileno(), message)
