"""Checks whether an app is ready, by the condition of ``--ready``."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, assert_never

from slimtrace.tracer.drive.ready import Delay, LogLine, Ready, ReadyFile, TcpPort, UnixSocket, Url
from slimtrace.tracer.errors import DriverError, SlimtraceError
from slimtrace.tracer.kernel.openat2 import open_in_root
from slimtrace.tracer.paths import is_below
from slimtrace.tracer.process.root_view import HOST_VIEW

if TYPE_CHECKING:
    from slimtrace.tracer.drive.app_output import OutputRelay
    from slimtrace.tracer.engines.app import App
    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.result import ExitStatus

_POLL_SECONDS = 0.02
_OUTPUT_SECONDS = 1.0
"""How long to wait for the output that the app wrote at its end."""


def wait_until_ready(
    ready: Ready, limit: float, app: App, view: RootView, streams: OutputRelay
) -> float:
    """Wait until the app is ready; return the seconds that it took.

    :param limit: in seconds; a delay has no limit.
    :raises DriverError: it took longer, or the app ended.
    """
    began = time.monotonic()
    if isinstance(ready, Delay):
        sleep_until(began + ready.seconds, app)
    while not isinstance(ready, Delay) and not app.ended.is_set():
        if isinstance(ready, LogLine):
            is_ready, why = streams.lines.matched.is_set(), None
        else:
            why = explain_not_ready(ready, view.open_path)
            is_ready = why is None
        if is_ready:
            break
        if time.monotonic() > began + limit:
            raise DriverError(
                f"cannot drive the app: {_what_was_not(ready)} in {limit:g} s"
                f"{f' ({why})' if why else ''}",
                "give it longer with --ready-timeout, or see what it printed",
                streams.last_lines(),
            )
        app.ended.wait(_POLL_SECONDS)
    if app.ended.is_set():
        streams.settle(_OUTPUT_SECONDS)
        if not streams.lines.matched.is_set():
            _fail_early(app.exit_status, streams)
    return time.monotonic() - began


def sleep_until(deadline: float, app: App) -> None:
    """Sleep until ``deadline`` (time.monotonic()) or the app's end."""
    while (left := deadline - time.monotonic()) > 0:
        if app.ended.wait(min(left, 1.0)):
            return


def _what_was_not(ready: Ready) -> str:
    match ready:
        case LogLine():
            return f"it printed no line that matches {ready.pattern.pattern!r}"
        case ReadyFile():
            return f"{ready} did not appear"
    return f"{ready} did not answer"


def _fail_early(last: ExitStatus | None, streams: OutputRelay) -> NoReturn:
    how = f": {describe_exit(last)}" if last else ""
    raise DriverError(
        f"cannot drive the app: it ended before it was ready{how}", None, streams.last_lines()
    )


def describe_exit(last: ExitStatus) -> str:
    """Describe in a message how a process ended."""
    if last.signal is None:
        return f"exit status {last.status}"
    return signal.strsignal(last.signal) or f"signal {last.signal}"


if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slimtrace.tracer.drive.http import Address
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig

    OpenPath = Callable[[bytes], int]
    """Opens an O_PATH descriptor of a path in the app's root; raises OSError."""

_ATTEMPT_SECONDS = 2.0
Polled = TcpPort | Url | UnixSocket | ReadyFile


def explain_not_ready(ready: Polled, open_path: OpenPath) -> str | None:
    """Return why the app is not ready; None if it is ready."""
    try:
        match ready:
            case TcpPort():
                socket.create_connection((ready.host, ready.port), _ATTEMPT_SECONDS).close()
            case Url():
                from slimtrace.tracer.drive.http import parse_address  # noqa: PLC0415 -- slow to import

                return explain_wrong_status(ready, parse_address(ready.url))
            case UnixSocket():
                with open_socket_path(ready.path, open_path) as path:
                    _connect(path)
            case ReadyFile():
                os.close(open_path(os.fsencode(ready.path)))
            case _:
                assert_never(ready)
    except (OSError, ValueError) as error:
        return explain_error(error)
    return None


def explain_wrong_status(ready: Url, address: Address) -> str | None:
    """Return why the answer does not show that the app is ready; None if it does.

    :param address: where to send the request; it may differ from the URL's address.
    :raises OSError: there was no answer.
    :raises ValueError: the answer is not HTTP/1.
    """
    from slimtrace.tracer.drive.http import get, get_request_target  # noqa: PLC0415 -- slow to import

    code = get(address, get_request_target(ready.url), _ATTEMPT_SECONDS).code
    return None if ready.accepts(code) else f"its last answer was {code}"


def explain_error(error: OSError | ValueError) -> str:
    """Return the cause of a failed connection or answer, for a message."""
    return (getattr(error, "strerror", None) or str(error)).lower()


@contextmanager
def open_socket_path(path: str, open_path: OpenPath) -> Iterator[str]:
    """Open a socket file in the app's root; yield a short path to connect to it (unix(7))."""
    fd = open_path(os.fsencode(path))
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_ATTEMPT_SECONDS)
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:  # it exists, but is for datagrams (unix(7))
                raise


def check_not_ready(ready: Ready, sandbox: SandboxConfig | None) -> None:
    """Check, before the app starts, that the condition of ``--ready`` is false.

    :param sandbox: where the app will run; None for this machine's root.
    :raises SlimtraceError: it is true already.
    """
    if isinstance(ready, Delay | LogLine):
        return
    if (
        explain_not_ready(
            ready, HOST_VIEW.open_path if sandbox is None else _make_image_opener(sandbox)
        )
        is not None
    ):
        return
    what, hint = "answers", "end what answers there, or let the app use another port"
    if isinstance(ready, ReadyFile):
        what, hint = "exists", "delete it, or name a file that the app makes"
    elif isinstance(ready, UnixSocket):
        hint = "end what answers there, or let the app use another socket"
    raise SlimtraceError(
        f"cannot wait for the app: {ready} {what} already, before it was started", hint
    )


def _make_image_opener(sandbox: SandboxConfig) -> OpenPath:
    """Return a function that opens a path in an image or its volumes before they are mounted."""

    def open_path(path: bytes) -> int:
        for volume in sandbox.volumes:
            target = os.fsencode(volume.target)
            if path == target or is_below(path, {target}):
                return HOST_VIEW.open_path(os.fsencode(volume.source) + path[len(target) :])
        root = os.open(sandbox.tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return open_in_root(root, path, follow=True)
        finally:
            os.close(root)

    return open_path
