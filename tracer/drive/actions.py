"""Actions that drive an app: a request, a command on the host, or a command in its image."""

from __future__ import annotations

import os
import shlex
import signal
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.console import say
from slimtrace.tracer.drive.answer_log import Content
from slimtrace.tracer.drive.http import Address, exchange, parse_address
from slimtrace.tracer.drive.probes import describe_exit, open_socket_path
from slimtrace.tracer.drive.ready import (
    Delay,
    Ready,
    TcpPort,
    UnixSocket,
    Url,
    is_accepted,
    parse_statuses,
)
from slimtrace.tracer.drive.shell import make_environment
from slimtrace.tracer.errors import CannotExecuteError, CommandNotFoundError, DriverError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from slimtrace.tracer.drive.http import ServerAnswer
    from slimtrace.tracer.drive.http_session import HttpSession
    from slimtrace.tracer.drive.shell import CommandLimits, HostCommands
    from slimtrace.tracer.engines.app import App
    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.result import ExitStatus
    from slimtrace.tracer.trace.http_request import HttpRequest

_POLL_SECONDS = 0.02
_RETRY_SECONDS = 5.0
"""How long to retry a request if no ``--ready`` has shown that the app is ready."""
_MAX_ANSWER_SECONDS = 60.0
_MAX_OPTIONAL_SECONDS = 10.0
"""How long to wait where nobody knows whether the app answers at all."""
_BAD_REQUEST = 400


class ActionOutcome(NamedTuple):
    """The result of an action.

    :ivar status: an HTTP status, or an exit status (128+N for signal N).
    :ivar failure: how it failed, or None.
    :ivar hint: the next step after a failure, or None.
    :ivar content: the type and body of an HTTP answer; None for a command.
    :ivar answer: the whole answer; None for a command.
    """

    status: int
    failure: str | None = None
    hint: str | None = None
    content: Content | None = None
    answer: ServerAnswer | None = None


@dataclass(frozen=True, slots=True)
class Actions:
    """The actions on one app.

    :ivar http_status: the value of ``--http-status``.
    :ivar find_port: returns the first port on which the app listened; None if there is none, or
        it cannot be reached.
    :ivar session: completes requests.
    """

    app: App
    view: RootView
    ready: Ready | None
    http_status: str
    find_port: Callable[[], int | None]
    host_commands: HostCommands
    session: HttpSession

    @property
    def host(self) -> str:
        """The app's host and port, as in URLs."""
        address = self._find_address()
        return "" if address is None else address.url.rpartition("//")[2]

    def request(self, request: HttpRequest, limits: CommandLimits) -> ActionOutcome:
        """Send a request to the app.

        :raises DriverError: there was no answer.
        """
        answer = self._request(request, limits)
        status, content = answer.code, _read_content(answer)
        if request.is_optional:
            return ActionOutcome(status, None, None, content, answer)
        if not is_accepted(status, parse_statuses(self.http_status)):
            hint = f"if that is right, add --http-status {self.http_status},{status}"
            return ActionOutcome(status, f"was answered {status}", hint, content, answer)
        if status >= _BAD_REQUEST:
            say(f"{request.shown}: {status}")
        return ActionOutcome(status, None, None, content, answer)

    def run_outside(self, command: str, limits: CommandLimits) -> ActionOutcome:
        """Run a command on the host, with the shell.

        :raises DriverError: see :meth:`HostCommands.run`.
        """
        return _make_outcome(self.host_commands.run(command, self._make_environment(), limits))

    def run_inside(self, argv: Sequence[str], limits: CommandLimits) -> ActionOutcome:
        """Run a command in the app's image; its output goes to stderr.

        :raises DriverError: it cannot be run, took too long, or the app ended first.
        """
        command, inside = shlex.join(argv), self.app.spawner
        if inside is None:
            raise DriverError(f"cannot drive the app: {command!r} has no image to run in")
        until = time.monotonic() + limits.timeout
        try:
            pid = inside.start(argv)
            while (ended := inside.wait(_POLL_SECONDS)) is None:
                if (now := time.monotonic()) > min(until, limits.deadline):
                    os.kill(pid, signal.SIGKILL)
                    why = limits.why_after_deadline if now <= until else limits.why_after_timeout
                    raise DriverError(f"cannot drive the app: {command!r} {why}")
        except EOFError as error:
            raise DriverError(
                f"cannot drive the app: {command!r} still ran when the app ended"
            ) from error
        except (CannotExecuteError, CommandNotFoundError) as error:
            raise DriverError(f"cannot drive the app: {error.message}") from error
        return _make_outcome(ended)

    def _request(self, request: HttpRequest, limits: CommandLimits) -> ServerAnswer:
        cause: Exception
        is_known_ready = not (self.ready is None or isinstance(self.ready, Delay))
        deadline = time.monotonic() + (0.0 if is_known_ready else _RETRY_SECONDS)
        most = _MAX_OPTIONAL_SECONDS if request.is_optional else _MAX_ANSWER_SECONDS
        while True:
            try:
                return self._send_request(request, limits.seconds_left(most))
            except (ConnectionRefusedError, LookupError) as error:
                cause = error
            except (OSError, ValueError) as error:
                cause, deadline = error, 0.0
            if time.monotonic() > deadline or self.app.ended.wait(_POLL_SECONDS):
                what = (getattr(cause, "strerror", None) or str(cause.args[0])).lower()
                shown = request.shown
                raise DriverError(f"cannot drive the app: {shown} got no answer: {what}")

    def _send_request(self, request: HttpRequest, seconds: float) -> ServerAnswer:
        if isinstance(self.ready, UnixSocket):
            with open_socket_path(self.ready.path, self.view.open_path) as place:
                return self._exchange(Address("localhost", 80, path=place), request, seconds)
        address = self._find_address()
        if address is None:
            raise LookupError("it does not listen on a known port")
        return self._exchange(address, request, seconds)

    def _exchange(self, address: Address, request: HttpRequest, seconds: float) -> ServerAnswer:
        def should_end() -> bool:
            return self.app.interrupted is not None or self.app.ended.is_set()

        answer = exchange(address, self.session.prepare(request, address), seconds, should_end)
        self.session.take(request, address, answer)
        return answer

    def _find_address(self) -> Address | None:
        """Return the address of ``--ready``, else the first port on which the app listened."""
        match self.ready:
            case Url():
                return parse_address(self.ready.url)
            case TcpPort():
                return Address(self.ready.host, self.ready.port)
        port = self.find_port()
        return None if port is None else Address("127.0.0.1", port)

    def _make_environment(self) -> dict[str, str]:
        """Return our environment with the app's address."""
        env = make_environment(self._find_address())
        if isinstance(self.ready, UnixSocket):
            root = f"/proc/{self.app.pid}/root" if self.view.is_sandbox else ""
            env["SLIMTRACE_SOCKET"] = root + self.ready.path
        return env

    def probe(self, command: str, should_end: Callable[[], bool]) -> ExitStatus | None:
        """Run a command of ``--ready exec:``."""
        return self.host_commands.probe(command, self._make_environment(), should_end)


def _make_outcome(ended: ExitStatus) -> ActionOutcome:
    return ActionOutcome(ended.status, f"failed: {describe_exit(ended)}" if ended.status else None)


def _read_content(answer: ServerAnswer) -> Content:
    length = answer.headers.get("Content-Length", "")
    size = max(len(answer.body), int(length) if length.isdecimal() else 0)
    return Content(answer.headers.get("Content-Type", ""), answer.body, size)
