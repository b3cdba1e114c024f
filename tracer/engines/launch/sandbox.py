"""Starts the app in an image, as a child of the sandbox's first process, and others beside it.

As in launch each side waits for the other. All words are told by one socket:

=================  =================================================================
to the first       ``x``: install the filter; ``x``: fork the app; JSON: another command
from the first     JSON and its root: the scene is set; ``x`` and the listener; ``executed``;
                   ``ended STATUS`` of another command; JSON: what went wrong
to a command       ``x``: execute it
from a command     ``here``, with its number in our PID namespace
=================  =================================================================
"""

from __future__ import annotations

import array
import json
import os
import select
import socket
import struct
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, NamedTuple, Never

from slimtrace.tracer.console import say
from slimtrace.tracer.engines.launch.guard import Guard
from slimtrace.tracer.engines.launch.host import NOTIFY, install
from slimtrace.tracer.engines.ptrace.stops import exit_of
from slimtrace.tracer.errors import CannotTraceError, SlimtraceError
from slimtrace.tracer.kernel import ptrace
from slimtrace.tracer.kernel.memory import MemoryReader
from slimtrace.tracer.process.root_view import SandboxView
from slimtrace.tracer.sandbox.init import SandboxInit
from slimtrace.tracer.sandbox.overlay import remove_folder
from slimtrace.tracer.sandbox.sandbox_config import make_folder
from slimtrace.tracer.sandbox.spec import decode_failure
from slimtrace.tracer.sandbox.userns import what_forbids

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.result import ExitStatus
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig

_ENOUGH = 1 << 16
_ANCILLARY = 256


class _Message(NamedTuple):
    """``sender`` is a process in our PID namespace; ``fd`` is -1 where none was sent."""

    data: bytes
    fd: int
    sender: int


class Spawner:
    """Starts further commands in the sandbox, one at a time, for one thread.

    :ivar started: processes of commands that were forked and not heard of since.
    """

    def __init__(self, control: socket.socket) -> None:
        self.started: set[int] = set()
        self._control = control
        self._app_failed: SlimtraceError | None = None
        self._app_is_known = False

    def check_executed(self) -> None:
        """Wait until the app was executed.

        :raises CannotExecuteError: it was not.
        """
        if not self._app_is_known:
            self._app_is_known = True
            try:
                self._await(b"executed")
            except SlimtraceError as error:
                self._app_failed = error
        if self._app_failed is not None:
            raise self._app_failed

    def start(self, argv: Sequence[str]) -> int:
        """Execute a command; its process.

        :raises SlimtraceError: it cannot be executed; each subclass with its exit status.
        :raises EOFError: the sandbox has ended.
        """
        with suppress(SlimtraceError):
            self.check_executed()
        with suppress(ConnectionError):
            self._control.send(json.dumps([*argv]).encode())
        message = self._await(b"here")
        if message is None:
            raise EOFError
        self.started.add(message.sender)
        with suppress(ConnectionError):
            self._control.send(b"x")
        if self._await(b"executed") is None:
            raise EOFError
        return message.sender

    def ended(self, within: float) -> ExitStatus | None:
        """How the command ended, or None while it runs, after at most so many seconds.

        :raises EOFError: the sandbox has ended.
        """
        if not select.select([self._control], [], [], within)[0]:
            return None
        message = self._await(b"ended")
        if message is None:
            raise EOFError
        return exit_of(int(message.data.split()[1]))

    def _await(self, word: bytes) -> _Message | None:
        """The next message that begins so; None when there will be no more."""
        while True:
            message = receive(self._control)
            if not message.data or message.data.startswith(word):
                return message if message.data else None
            if message.data.startswith(b"{"):
                raise decode_failure(message.data)


class SandboxLaunch:
    """As :class:`slimtrace.tracer.engines.launch.host.Launch`, in an image.

    :raises SlimtraceError: there is no place for what the app will write.
    """

    def __init__(
        self,
        stage: SandboxConfig,
        argv: Sequence[str],
        mask: Iterable[int],
        streams: Mapping[int, int],
    ) -> None:
        self.app = 0
        self.first: int | None = None
        self._stage = stage
        self._argv = argv
        self._mask = mask
        self._streams = streams
        self._memory = MemoryReader()  # before the fork, so that its memory is the child's too
        self._control, self._other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.inside: Spawner | None = Spawner(self._control)
        self._guard: Guard | None = None
        self._is_seized = False
        self._lock: int | None = None
        self._view: RootView | None = None

    @property
    def view(self) -> RootView:
        """How to look at the app's files, once it was forked."""
        if self._view is None:
            raise AssertionError
        return self._view

    def under_guard(self, code: bytes) -> tuple[Guard, int]:
        guard = self._set_up(lambda: install(code, NOTIFY))
        return guard, self._forked()

    def unseen(self) -> Guard:
        """As :meth:`under_guard`, but nobody hears of the app's calls, and it is process 1."""
        guard = self._set_up(None, becomes_app=True)
        self._forked()
        return guard

    def _forked(self) -> int:
        """Have the app forked; the listener's descriptor, or -1."""
        listener = self._filtered()
        with suppress(ConnectionError):
            self._control.send(b"x")
        self._began(receive(self._control).sender)
        return listener

    def seized(self, code: bytes | None, options: int) -> int:
        """The first process, which is yet to fork the app."""
        self._set_up(None if code is None else lambda: install(code, 0))
        if self.first is None:
            raise AssertionError
        try:
            ptrace.seize(self.first, options)
            self._is_seized = True
        except OSError as error:
            self._give_up()
            raise CannotTraceError("ptrace", error.errno or 0) from error
        self._filtered()
        return self.first

    def fork_app(self) -> None:
        """Have the app forked: who seized its parent hears of its birth, and says so."""
        with suppress(ConnectionError):
            self._control.send(b"x")

    def _began(self, app: int) -> None:
        self.app = app
        if self.inside is not None:
            self.inside.started.add(app)

    def _set_up(self, installs: Callable[[], int] | None, *, becomes_app: bool = False) -> Guard:
        """Make the sandbox and its first process, up to its filter."""
        folder = make_folder(self._stage)
        remove = partial(remove_folder, folder.path)

        def child(watch: socket.socket) -> Never:
            words = self._stage, folder, self._argv, self._other, watch, self._mask
            SandboxInit(*words, self._streams, becomes_app=becomes_app).run(installs)

        try:
            guard = Guard.start(child, apart=True, at_end=remove)
        except OSError as error:
            remove()
            raise SlimtraceError(
                f"cannot enter {self._stage.tree}: {error.strerror}", what_forbids(error)
            ) from error
        finally:
            if becomes_app:  # an app may not have it
                self._lock = folder.lock
            else:
                os.close(folder.lock)
        self._other.close()
        self._guard, self.first = guard, guard.child
        message = receive(self._control)
        try:
            if message.fd < 0:
                raise _failure(message, self._stage.tree)
            about = json.loads(message.data)
            self._view = SandboxView(message.fd, self.first, about["number"])
            if about["instead"] is not None:
                say(f"writing to {about['instead']}: no overlay can be had here ({about['why']})")
        except SlimtraceError:
            self._give_up()
            raise
        return guard

    def _filtered(self) -> int:
        """Have the filter installed; the listener's descriptor, or -1."""
        with suppress(ConnectionError):
            self._control.send(b"x")
        message = receive(self._control)
        if message.data == b"x":
            return message.fd
        self._give_up()
        if message.data.isdigit():
            raise CannotTraceError("seccomp", int(message.data))
        raise _failure(message, self._stage.tree)

    def _give_up(self) -> None:
        """The first process ends, and all with it."""
        self._control.close()
        if self._is_seized and self.first is not None:
            os.waitpid(self.first, ptrace.WAIT_OURS)  # its end is told to its tracer first
        if self._guard is not None:
            self._guard.join()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def check_memory(self) -> None:
        """As of Launch."""
        try:
            self._memory.check(self.app)
        except OSError as error:
            self._control.close()
            raise CannotTraceError("process_vm_readv", error.errno or 0) from error

    def go(self) -> None:
        with suppress(ConnectionError):
            self._control.send(b"x")

    def check_executed(self) -> None:
        """After the app's end: wait for the sandbox's, and see whether it was executed.

        :raises CannotExecuteError: it was not.
        """
        if self._guard is not None:
            self._guard.join()
        self._unlock()
        with self._control:
            if self.inside is not None:
                self.inside.check_executed()


def receive(control: socket.socket) -> _Message:
    """The next message; an empty one when there will be no more."""
    try:
        data, ancillary, _, _ = control.recvmsg(_ENOUGH, _ANCILLARY)
    except ConnectionError:
        return _Message(b"", -1, 0)
    fd, sender = -1, 0
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds = array.array("i", content[: len(content) // 4 * 4])
            fd = fds[0] if fds else -1
            if fd >= 0:
                os.set_inheritable(fd, False)
        elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            sender = struct.unpack("iII", content[:12])[0]
    return _Message(data, fd, sender)


def _failure(message: _Message, tree: str) -> SlimtraceError:
    if message.data.startswith(b"{"):
        return decode_failure(message.data)
    return SlimtraceError(f"cannot enter {tree}: the sandbox's first process ended")
