"""Checks whether an app is ready, even if it listens on another port than expected."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from slimtrace.tracer.drive.http import Address, get, get_request_target, parse_address
from slimtrace.tracer.drive.probes import explain_error, explain_not_ready, explain_wrong_status
from slimtrace.tracer.drive.ready import Delay, LogLine, ReadyCommand, TcpPort, Url
from slimtrace.tracer.drive.shell import make_environment, run_probe
from slimtrace.tracer.startup.trial import HttpAnswer

if TYPE_CHECKING:
    from slimtrace.tracer.drive.app_output import LastLines
    from slimtrace.tracer.drive.ready import Ready
    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.startup.listening_sockets import SocketWatch
    from slimtrace.tracer.startup.trial import ListeningSocket, Trial

_ANSWER_SECONDS = 10.0
_COMMAND_SECONDS = 10.0
"""How long one attempt of ``--ready exec:`` may take."""
_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- not bound here
_PORT_SECONDS = 1.0
"""How long a service that listens on a port already may take to listen on PORT, too."""
_POLL_SECONDS = 0.02


class Readiness:
    """Checks whether one app is ready.

    :param ready: the condition; None for the first TCP port that the app listens on. A URL or port
        is tried on the port that the app listens on, which may be another one if PORT is set.
    """

    def __init__(
        self,
        ready: Ready | None,
        trial: Trial,
        listening: SocketWatch,
        view: RootView,
        lines: LastLines,
    ) -> None:
        self._ready = ready
        self._port = trial.port
        self._timeout = trial.ready_timeout
        self._listening = listening
        self._view = view
        self._lines = lines
        self._began = time.monotonic()
        self._last = ""

    def find_listening_sockets(self) -> tuple[ListeningSocket, ...]:
        """Return the sockets on which the app listens now."""
        return self._listening.find_own_sockets()

    def wait_for_port(self) -> tuple[ListeningSocket, ...]:
        """Wait a short time for the app to listen on PORT; return all its listening sockets."""
        deadline = time.monotonic() + _PORT_SECONDS
        while True:
            sockets = self.find_listening_sockets()
            has_port = self._port is None or any(each.port == self._port for each in sockets)
            if has_port or not sockets or time.monotonic() > deadline:
                return sockets
            time.sleep(_POLL_SECONDS)

    def choose_socket(self, listening: tuple[ListeningSocket, ...]) -> ListeningSocket | None:
        """Return the socket for requests: with PORT, else the expected port, else any port."""
        for port in (self._port, _get_port(self._ready)):
            for listener in listening:
                if listener.port == port:
                    return listener
        return next(iter(listening), None)

    def is_ready(self, listening: tuple[ListeningSocket, ...]) -> bool:
        """Whether the app is ready.

        :param listening: the sockets on which it listens.
        """
        match self._ready:
            case None | TcpPort():
                return bool(listening)
            case Url():
                where = self.choose_socket(listening)
                return where is not None and self._is_answered(where, self._ready)
            case Delay():
                return time.monotonic() >= self._began + self._ready.seconds
            case LogLine():
                return self._lines.matched.is_set()
            case ReadyCommand():
                return self._succeeds(self._ready, listening)
            case ready:
                return explain_not_ready(ready, self._view.open_path) is None

    def explain_not_ready(self, listening: tuple[ListeningSocket, ...]) -> str:
        """Return the reason why the app was not ready in time."""
        within = f"in {self._timeout:g} s"
        match self._ready:
            case LogLine():
                return f"it printed no line that matches {self._ready.pattern.pattern!r} {within}"
            case Url() if listening:
                return f"GET {get_request_target(self._ready.url)} failed {within}: {self._last}"
            case ReadyCommand():
                return f"{self._ready} did not succeed {within}"
            case None | TcpPort() | Url() | Delay():
                return f"it listened on no TCP port {within}"
            case ready:
                return f"{ready} did not appear {within}"

    def _succeeds(self, ready: ReadyCommand, listening: tuple[ListeningSocket, ...]) -> bool:
        where = self.choose_socket(listening)
        address = Address(_get_host(where), where.port) if where is not None else None
        deadline = time.monotonic() + _COMMAND_SECONDS
        ended = run_probe(
            ready.command, make_environment(address), (), lambda: time.monotonic() > deadline
        )
        return ended is not None and ended.status == 0

    def _is_answered(self, where: ListeningSocket, ready: Url) -> bool:
        address = Address(_get_host(where), where.port, urlsplit(ready.url).scheme)
        try:
            self._last = explain_wrong_status(ready, address) or ""
        except (OSError, ValueError) as error:
            self._last = explain_error(error)
        return not self._last


def send_request(listener: ListeningSocket, path: str) -> HttpAnswer:
    """Send GET ``path`` to a listening socket."""
    try:
        status = get(Address(_get_host(listener), listener.port), path, _ANSWER_SECONDS)
    except OSError as error:
        return HttpAnswer(None, failure=explain_error(error))
    except ValueError as error:
        return HttpAnswer(None, failure=str(error))
    return HttpAnswer(status.code, status.version)


def _get_host(listener: ListeningSocket) -> str:
    """Return the address for connections to the socket from this machine."""
    return _LOOPBACK.get(listener.address, listener.address)


def _get_port(ready: Ready | None) -> int | None:
    match ready:
        case TcpPort():
            return ready.port
        case Url():
            return parse_address(ready.url).port
    return None
