"""Starts further commands in the sandbox of a running app, by messages to its first process.

The table of messages is in ``launch.sandbox``.
"""

from __future__ import annotations

import array
import json
import os
import select
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.engines.ptrace.stops import decode_exit_status
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.sandbox.failure_message import decode_failure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slimtrace.tracer.result import ExitStatus

_MAX_MESSAGE_BYTES = 1 << 16
_MAX_ANCILLARY_BYTES = 256


def receive(control: socket.socket) -> Message:
    """The next message; an empty one when no more will come."""
    try:
        data, ancillary, _, _ = control.recvmsg(_MAX_MESSAGE_BYTES, _MAX_ANCILLARY_BYTES)
    except ConnectionError:
        return Message(b"", -1, 0)
    fd, sender = -1, 0
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds = array.array("i", content[: len(content) // 4 * 4])
            fd = fds[0] if fds else -1
            if fd >= 0:
                os.set_inheritable(fd, False)
        elif level == socket.SOL_SOCKET and kind == socket.SCM_CREDENTIALS:
            sender = struct.unpack("iII", content[:12])[0]
    return Message(data, fd, sender)


class Message(NamedTuple):
    """``sender`` is the process by its number in our PID namespace; ``fd`` is -1 for none."""

    data: bytes
    fd: int
    sender: int


class Spawner:
    """Starts further commands in the sandbox, one at a time, for one thread.

    :ivar starting: processes that were forked for a command, and have not executed it yet.
    """

    def __init__(self, control: socket.socket) -> None:
        self.starting: set[int] = set()
        self._control = control
        self._app_failure: SlimtraceError | None = None
        self._app_is_known = False

    def check_executed(self) -> None:
        """Wait until the app was executed.

        :raises CannotExecuteError: its exec failed.
        """
        if not self._app_is_known:
            self._app_is_known = True
            try:
                self._await(b"executed")
            except SlimtraceError as error:
                self._app_failure = error
        if self._app_failure is not None:
            raise self._app_failure

    def start(self, argv: Sequence[str]) -> int:
        """Execute a command and return its process.

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
        self.starting.add(message.sender)
        with suppress(ConnectionError):
            self._control.send(b"x")
        if self._await(b"executed") is None:
            raise EOFError
        return message.sender

    def wait(self, within: float) -> ExitStatus | None:
        """Wait at most so many seconds: how the command ended, or None while it runs.

        :raises EOFError: the sandbox has ended.
        """
        if not select.select([self._control], [], [], within)[0]:
            return None
        message = self._await(b"ended")
        if message is None:
            raise EOFError
        return decode_exit_status(int(message.data.split()[1]))

    def _await(self, prefix: bytes) -> Message | None:
        """The next message with this prefix; None when no more will come."""
        while True:
            message = receive(self._control)
            if not message.data or message.data.startswith(prefix):
                return message if message.data else None
            if message.data.startswith(b"{"):
                raise decode_failure(message.data)
