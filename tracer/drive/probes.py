"""Checks whether an app is ready, by the condition of ``--ready``."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, assert_never

from slimtrace.tracer.drive.ready import (
    Delay,
    LogLine,
    Ready,
    ReadyCommand,
    ReadyFile,
    TcpPort,
    UnixSocket,
    Url,
)
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.kernel.openat2 import open_in_root
from slimtrace.tracer.paths import is_below
from slimtrace.tracer.process.root_view import HOST_VIEW

if TYPE_CHECKING:
    from slimtrace.tracer.engines.app import App
    from slimtrace.tracer.result import ExitStatus


def sleep_until(deadline: float, app: App) -> None:
    """Sleep until ``deadline`` (time.monotonic()) or the app's end."""
    while (left := deadline - time.monotonic()) > 0:
        if app.ended.wait(min(left, 1.0)):
            return


def describe_exit(last: ExitStatus) -> str:
    """Describe in a message how a process ended."""
    if last.signal is None:
        return f"exit status {last.status}"
    return signal.strsignal(last.signal) or f"signal {last.signal}"


if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from slimtrace.tracer.drive.http import Address
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig

    OpenPath = Callable[[bytes], int]
    """Opens an O_PATH descriptor of a path in the app's root; raises OSError."""

ATTEMPT_SECONDS = 2.0
"""How long one attempt may take."""
Polled = TcpPort | Url | UnixSocket | ReadyFile


def explain_not_ready(
    ready: Polled, open_path: OpenPath, seconds: float = ATTEMPT_SECONDS
) -> str | None:
    """Return why the app is not ready; None if it is ready.

    :param seconds: how long to wait for an answer.
    """
    try:
        match ready:
            case TcpPort():
                socket.create_connection((ready.host, ready.port), seconds).close()
            case Url():
                from slimtrace.tracer.drive.http import parse_address  # noqa: PLC0415 -- slow to import

                return explain_wrong_status(ready, parse_address(ready.url), seconds)
            case UnixSocket():
                with open_socket_path(ready.path, open_path) as path:
                    _connect(path, seconds)
            case ReadyFile():
                os.close(open_path(os.fsencode(ready.path)))
            case _:
                assert_never(ready)
    except (OSError, ValueError) as error:
        return explain_error(error)
    return None


def explain_wrong_status(
    ready: Url, address: Address, seconds: float = ATTEMPT_SECONDS
) -> str | None:
    """Return why the answer does not show that the app is ready; None if it does.

    :param address: where to send the request; it may differ from the URL's address.
    :param seconds: how long to wait for the answer.
    :raises OSError: there was no answer.
    :raises ValueError: the answer is not HTTP/1.
    """
    from slimtrace.tracer.drive.http import get, get_request_target  # noqa: PLC0415 -- slow to import

    code = get(address, get_request_target(ready.url), seconds).code
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


def _connect(path: str, seconds: float) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(seconds)
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:  # it exists, but is for datagrams (unix(7))
                raise


def check_not_ready(ready: Ready, sandbox: SandboxConfig | None, mask: Iterable[int] = ()) -> None:
    """Check, before the app starts, that the condition of ``--ready`` is false.

    :param sandbox: where the app will run; None for this machine's root.
    :param mask: the signals to block in a command.
    :raises SlimtraceError: it is true already.
    """
    if isinstance(ready, Delay | LogLine):
        return
    if isinstance(ready, ReadyCommand):
        is_true = _succeeds(ready.command, mask)
    else:
        open_path = HOST_VIEW.open_path if sandbox is None else _make_image_opener(sandbox)
        is_true = explain_not_ready(ready, open_path) is None
    if not is_true:
        return
    what, hint = "answers", "end what answers there, or let the app use another port"
    if isinstance(ready, ReadyFile):
        what, hint = "exists", "delete it, or name a file that the app makes"
    elif isinstance(ready, ReadyCommand):
        what, hint = "succeeds", "end what it asks, or ask what only this app can answer"
    elif isinstance(ready, UnixSocket):
        hint = "end what answers there, or let the app use another socket"
    raise SlimtraceError(
        f"cannot wait for the app: {ready} {what} already, before it was started", hint
    )


def _succeeds(command: str, mask: Iterable[int]) -> bool:
    """Whether a command succeeds soon: one that waits for the app does not end."""
    from slimtrace.tracer.drive.shell import make_environment, run_probe  # noqa: PLC0415 -- for exec: alone

    deadline = time.monotonic() + ATTEMPT_SECONDS
    ended = run_probe(command, make_environment(None), mask, lambda: time.monotonic() > deadline)
    return ended is not None and ended.status == 0


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
