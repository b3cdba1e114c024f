"""Drives a service while it is traced: waits until it is ready, runs commands, stops it.

All of it happens outside the trace: a driver is no tracee, so its shell is not in the image.
"""

from __future__ import annotations

import http.client
import os
import shlex
import signal
import socket
import ssl
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tracer.console import detail, say
from tracer.errors import (
    CannotExecuteError,
    CommandNotFoundError,
    DriverError,
    SlimtraceError,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tracer.app import App
    from tracer.model import Driving

_POLL = 0.02
_ATTEMPT = 2.0
_GRACE = 10.0
_SERVER_ERROR = 500


@dataclass(frozen=True, slots=True)
class Delay:
    """Ready after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Port:
    """Ready when the port accepts a connection."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Url:
    """Ready when a GET is answered with a status below 500."""

    url: str


Ready = Delay | Port | Url


def parse_ready(text: str) -> Ready:
    """``http://…``, ``https://…``, ``tcp:PORT``, ``tcp:HOST:PORT`` or a number of seconds.

    :raises UsageError: it is none of these.
    """
    if text.startswith(("http://", "https://")) and urlsplit(text).hostname:
        return Url(text)
    if text.startswith("tcp:"):
        host, _, port = text[4:].rpartition(":")
        if port.isdigit() and 0 < int(port) < 1 << 16:
            return Port(host or "127.0.0.1", int(port))
        if port.isdigit():
            raise UsageError(f"cannot use --ready {text}: ports are 1 to 65535")
    else:
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if 0 <= seconds < float("inf"):
            return Delay(seconds)
    raise UsageError(
        f"cannot use --ready {text}: it is no http(s) URL, tcp:PORT or number of seconds"
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to happen to the app from outside. Times are in seconds.

    :ivar inside: commands that run after the others beside the app, in its image, and are traced.
    """

    ready: Ready | None = None
    commands: Sequence[str] = ()
    inside: Sequence[Sequence[str]] = ()
    ready_timeout: float = 60.0
    stop_after: float | None = None
    stop_signal: signal.Signals = signal.SIGTERM

    def __bool__(self) -> bool:
        return bool(self.ready or self.ends_app)

    @property
    def ends_app(self) -> bool:
        """Whether the app is stopped once all is done."""
        return bool(self.commands or self.inside or self.stop_after is not None)


def plan_of(driving: Driving) -> Plan:
    """:raises UsageError: ``--ready`` makes no sense."""
    return Plan(
        parse_ready(driving.ready) if driving.ready is not None else None,
        driving.commands,
        driving.inside,
        driving.ready_timeout,
        driving.stop_after,
        signal.Signals[driving.stop_signal],
    )


def check_not_ready(plan: Plan) -> None:
    """:raises SlimtraceError: what is to show that the app is ready answers before it started."""
    ready = plan.ready
    if ready is not None and not isinstance(ready, Delay) and _answers(ready):
        what = ready.url if isinstance(ready, Url) else f"port {ready.port}"
        raise SlimtraceError(
            f"cannot wait for the app: {what} answers already, before it was started",
            "end what answers there, or let the app use another port",
        )


@dataclass(slots=True)
class Driver:
    """Carries out a plan in a thread of its own.

    :ivar failure: why the answer of the run is no, or None.
    """

    plan: Plan
    app: App
    mask: Iterable[int]
    failure: DriverError | None = None
    _deadline: float = float("inf")
    _thread: threading.Thread | None = field(default=None, repr=False)

    def start(self) -> None:
        if self.plan:
            self._thread = threading.Thread(target=self._run, name="driver", daemon=True)
            self._thread.start()

    def join(self) -> None:
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            if self.plan.ready is not None:
                self._wait_until_ready(self.plan.ready)
            if self.plan.stop_after is not None:
                self._deadline = time.monotonic() + self.plan.stop_after
            for command in self.plan.commands:
                self._drive(command)
            for argv in self.plan.inside:
                self._drive_inside(argv)
            if self.plan.stop_after is not None and not (self.plan.commands or self.plan.inside):
                self._sleep_until(self._deadline)
        except DriverError as error:
            self.failure = error
        if self.failure or self.plan.ends_app:
            self._stop()

    def _wait_until_ready(self, ready: Ready) -> None:
        began = time.monotonic()
        if isinstance(ready, Delay):
            self._sleep_until(began + ready.seconds)
        else:
            self._poll_until_ready(ready, began + self.plan.ready_timeout)
        if self.app.ended.is_set():
            raise DriverError("cannot drive the app: it ended before it was ready")
        text = f"ready after {time.monotonic() - began:.1f} s"
        (detail if self.plan.ends_app else say)(text)

    def _poll_until_ready(self, ready: Port | Url, deadline: float) -> None:
        while not self.app.ended.is_set():
            if time.monotonic() > deadline:
                what = ready.url if isinstance(ready, Url) else f"port {ready.port}"
                raise DriverError(
                    f"cannot drive the app: {what} did not answer in {self.plan.ready_timeout:g} s",
                    "give it longer with --ready-timeout, or see what it printed",
                )
            if _answers(ready):
                return
            self.app.ended.wait(_POLL)

    def _sleep_until(self, deadline: float) -> None:
        while (left := deadline - time.monotonic()) > 0:
            if self.app.ended.wait(min(left, 1.0)):
                return

    def _drive(self, command: str) -> None:
        """Run one command by the shell; its output goes to stderr, stdout being the app's.

        :raises DriverError: it failed, or outlived the app or ``--stop-after``.
        """
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", command],
            os.environ,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, 2, 1),
            ],
            setsigmask=self.mask,
            setsigdef=[signal.SIGPIPE],
            setpgroup=0,
        )
        outlived = 0.0
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            now = time.monotonic()
            if self.app.ended.wait(_POLL):
                outlived = outlived or now + _GRACE
                time.sleep(_POLL)
            if now > self._deadline or (outlived and now > outlived):
                os.killpg(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
                what = "the app ended" if outlived else "--stop-after had passed"
                raise DriverError(f"cannot drive the app: {command!r} still ran when {what}")
        code = os.waitstatus_to_exitcode(status)
        _check(command, code if code >= 0 else 128 - code, -code if code < 0 else None)

    def _drive_inside(self, argv: Sequence[str]) -> None:
        """Run one command beside the app; its output goes to stderr too.

        :raises DriverError: as of _drive; all ends with the app in its image.
        """
        command, inside = shlex.join(argv), self.app.inside
        if inside is None:
            raise DriverError(f"cannot drive the app: {command!r} has no image to run in")
        try:
            pid = inside.start(argv)
            while (ended := inside.ended(_POLL)) is None:
                if time.monotonic() > self._deadline:
                    os.kill(pid, signal.SIGKILL)
                    raise DriverError(
                        f"cannot drive the app: {command!r} still ran when --stop-after had passed"
                    )
        except EOFError as error:
            raise DriverError(
                f"cannot drive the app: {command!r} still ran when the app ended"
            ) from error
        except (CannotExecuteError, CommandNotFoundError) as error:
            raise DriverError(f"cannot drive the app: {error.message}") from error
        _check(command, ended.status, ended.signal)

    def _stop(self) -> None:
        """The stop signal, again to what outlives the first process, then SIGKILL."""
        app, number = self.app, self.plan.stop_signal
        deadline = time.monotonic() + _GRACE
        app.send(number)
        told_rest = False
        while not app.ended.wait(_POLL * 5):
            if app.exit is not None and not told_rest:
                told_rest = True
                app.send_all(number)
            if time.monotonic() > deadline:
                say(f"the app did not end in {_GRACE:g} s after {number.name}: killed")
                app.kill()
                deadline = float("inf")


def _check(command: str, status: int, number: int | None) -> None:
    """:raises DriverError: a command failed."""
    if status != 0:
        how = f"exit status {status}" if number is None else signal.strsignal(number)
        raise DriverError(f"cannot drive the app: {command!r} failed: {how}")


def _answers(ready: Port | Url) -> bool:
    try:
        if isinstance(ready, Port):
            socket.create_connection((ready.host, ready.port), _ATTEMPT).close()
            return True
        return _get(ready.url) < _SERVER_ERROR
    except (OSError, http.client.HTTPException):
        return False


def _get(url: str) -> int:
    parts = urlsplit(url)
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        # Readiness is asked, not identity: a service under test has a certificate of its own.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection = http.client.HTTPSConnection(parts.netloc, timeout=_ATTEMPT, context=context)
    else:
        connection = http.client.HTTPConnection(parts.netloc, timeout=_ATTEMPT)
    try:
        query = f"?{parts.query}" if parts.query else ""
        connection.request("GET", (parts.path or "/") + query, headers={"Connection": "close"})
        return connection.getresponse().status
    finally:
        connection.close()
