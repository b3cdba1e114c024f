"""Starts the app in an image, as a child of the sandbox's supervisor.

As in ``launch.host`` each side waits for the other. All messages go over one socket:

=================  =================================================================
to the supervisor  ``x``: install the filter; ``x``: fork the app; JSON: another command
from it            JSON and the root: the sandbox is ready; ``x`` and the listener; ``executed``;
                   ``ended STATUS`` of another command; JSON: an error
to a command       ``x``: its calls are followed, so it may execute
from a command     ``here``, with its number in our PID namespace
=================  =================================================================
"""

from __future__ import annotations

import json
import os
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Never

from slimtrace.tracer.console import say_once
from slimtrace.tracer.engines.launch.guard import Guard
from slimtrace.tracer.engines.launch.host import LISTENER_FLAGS, install_best_filter
from slimtrace.tracer.engines.launch.spawner import Message, Spawner, receive
from slimtrace.tracer.errors import CannotTraceError, SlimtraceError
from slimtrace.tracer.kernel import ptrace
from slimtrace.tracer.kernel.memory import MemoryReader
from slimtrace.tracer.process import magic_links, procfs
from slimtrace.tracer.process.root_view import SandboxView
from slimtrace.tracer.sandbox.failure_message import decode_failure
from slimtrace.tracer.sandbox.overlay import remove_scratch_folder
from slimtrace.tracer.sandbox.sandbox_config import make_scratch_folder
from slimtrace.tracer.sandbox.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig


class SandboxLaunch:
    """A :class:`~slimtrace.tracer.engines.launch.launcher.Launcher` in an image.

    :raises SlimtraceError: there is no place for the files that the app will write.
    """

    def __init__(
        self,
        config: SandboxConfig,
        argv: Sequence[str],
        mask: Iterable[int],
        streams: Mapping[int, int],
        command_output: int | None = None,
    ) -> None:
        self.app_pid = 0
        self.app_is_process_one = not config.has_reaper
        self.helpers: frozenset[int] = frozenset()
        self._config = config
        self._argv = argv
        self._mask = mask
        self._streams = streams
        self._command_output = command_output
        self._memory = MemoryReader()  # before the fork, so that its memory is the child's too
        self._control, self._other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.spawner: Spawner | None = Spawner(self._control)
        self._guard: Guard | None = None
        self._is_seized = False
        self._view: SandboxView | None = None

    @property
    def view(self) -> RootView:
        if self._view is None:
            raise AssertionError
        self._view.app_pid = self.app_pid
        return self._view

    def start_under_guard(self, code: bytes) -> tuple[Guard, int]:
        guard = self._set_up(lambda: install_best_filter(code, LISTENER_FLAGS))
        return guard, self._fork_and_wait()

    def start_untraced(self) -> Guard:
        """As :meth:`start_under_guard`, but without a tracer."""
        guard = self._set_up(None)
        self._fork_and_wait()
        return guard

    def _fork_and_wait(self) -> int:
        """Have the app forked; return the listener's descriptor, or -1."""
        listener = self._install_filter()
        with suppress(ConnectionError):
            self._control.send(b"x")
        self._set_app(receive(self._control).sender)
        return listener

    def start_seized(self, code: bytes | None, options: int) -> int:
        """Seize the supervisor, which has not forked the app yet."""
        guard = self._set_up(None if code is None else lambda: install_best_filter(code, 0))
        try:
            ptrace.seize(guard.child, options)
            self._is_seized = True
        except OSError as error:
            self._give_up()
            raise CannotTraceError("ptrace", error.errno or 0) from error
        self._install_filter()
        return guard.child

    def fork_app(self) -> int:
        """The ptrace loop, which seized the supervisor, sees the birth and sets ``app_pid``."""
        with suppress(ConnectionError):
            self._control.send(b"x")
        return 2 if self._config.has_reaper else 1

    def _set_app(self, app: int) -> None:
        self.app_pid = app
        reaper = procfs.read_ppid(app) if self._config.has_reaper else None
        if reaper:
            self.helpers |= {reaper}
        if self.spawner is not None:
            self.spawner.starting.add(app)

    def _set_up(self, install: Callable[[], int] | None) -> Guard:
        """Create the sandbox and its supervisor, to the point where it can install a filter."""
        folder = make_scratch_folder(self._config)
        remove = partial(remove_scratch_folder, folder.path)

        def child(watch: socket.socket) -> Never:
            arguments = self._config, folder, self._argv, self._other, watch, self._mask
            Supervisor(*arguments, self._streams, self._command_output).run(install)

        guard = Guard.start(child, supervises=True, at_end=remove)
        os.close(folder.lock)
        self._other.close()
        self._guard, self.helpers = guard, frozenset({guard.child})
        message = receive(self._control)
        try:
            if message.fd < 0:
                raise _failure(message, self._config.tree)
            self._adopt_root(message.fd, json.loads(message.data), guard)
        except SlimtraceError:
            self._give_up()
            raise
        return guard

    def _adopt_root(self, root: int, about: dict[str, Any], guard: Guard) -> None:
        """Take over what the supervisor says of the sandbox; see Supervisor."""
        magic_links.set_root_prefix(os.fsencode(about.get("prefix", "")))
        self.app_is_process_one = about["process_one"] and not self._config.has_reaper
        self._view = SandboxView(
            root,
            guard.child,
            about["number"],
            grants_privileges=about["grants"],
            is_copy="prefix" in about,
        )
        for note in about["notes"]:
            say_once(note)

    def _install_filter(self) -> int:
        """Have the filter installed; return the listener's descriptor, or -1."""
        with suppress(ConnectionError):
            self._control.send(b"x")
        message = receive(self._control)
        if message.data == b"x":
            return message.fd
        self._give_up()
        if message.data.isdigit():
            raise CannotTraceError("seccomp", int(message.data))
        raise _failure(message, self._config.tree)

    def _give_up(self) -> None:
        """End the supervisor, and with it all processes of the sandbox."""
        self._control.close()
        if self._guard is None:
            return
        if self._is_seized:
            os.waitpid(self._guard.child, ptrace.WAIT_OWN)  # its tracer must wait first
        self._guard.join()

    def check_memory(self) -> None:
        try:
            self._memory.check(self.app_pid)
        except OSError as error:
            self._control.close()
            raise CannotTraceError("process_vm_readv", error.errno or 0) from error

    def execute_app(self) -> None:
        with suppress(ConnectionError):
            self._control.send(b"x")

    def check_executed(self) -> None:
        """Wait for the end of the sandbox, and check whether the app was executed."""
        if self._guard is not None:
            self._guard.join()
        with self._control:
            if self.spawner is not None:
                self.spawner.check_executed()


def _failure(message: Message, tree: str) -> SlimtraceError:
    if message.data.startswith(b"{"):
        return decode_failure(message.data)
    return SlimtraceError(f"cannot enter {tree}: the sandbox's supervisor ended")
