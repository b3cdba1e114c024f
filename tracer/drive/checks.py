"""Looks whether what is to show that an app is ready shows it."""

from __future__ import annotations

import errno
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, assert_never

from slimtrace.tracer.drive.ready import Delay, File, Line, Port, Ready, Socket, Url
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.kernel.openat2 import open_in_root
from slimtrace.tracer.paths import is_below
from slimtrace.tracer.view import HERE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slimtrace.tracer.sandbox.stage import Stage

    Entry = Callable[[bytes], int]
    """Opens an O_PATH descriptor of what lies at the app's path; raises OSError."""

_ATTEMPT = 2.0
"""Seconds for one answer."""
Polled = Port | Url | Socket | File


def why_not(ready: Polled, entry: Entry) -> str | None:
    """Why it does not show that the app is ready; None where it does."""
    try:
        match ready:
            case Port():
                socket.create_connection((ready.host, ready.port), _ATTEMPT).close()
            case Url():
                return _why_no_status(ready)
            case Socket():
                with reachable(ready.path, entry) as path:
                    _connect(path)
            case File():
                os.close(entry(os.fsencode(ready.path)))
            case _:
                assert_never(ready)
    except (OSError, ValueError) as error:
        return (getattr(error, "strerror", None) or str(error)).lower()
    return None


def _why_no_status(ready: Url) -> str | None:
    from slimtrace.tracer.drive.requests import address_of, get, target_of  # noqa: PLC0415 -- slow to import

    status = get(address_of(ready.url), target_of(ready.url), _ATTEMPT)
    return None if ready.accepts(status) else f"its last answer was {status}"


@contextmanager
def reachable(path: str, entry: Entry) -> Iterator[str]:
    """A path by which the tracer reaches a socket in the app's root, however long the app's is."""
    fd = entry(os.fsencode(path))
    try:
        yield f"/proc/self/fd/{fd}"
    finally:
        os.close(fd)


def _connect(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_ATTEMPT)
        try:
            probe.connect(path)
        except OSError as error:
            if error.errno != errno.EPROTOTYPE:  # it is there, for datagrams (unix(7))
                raise


def check_not_ready(ready: Ready, stage: Stage | None) -> None:
    """See that nothing shows that the app is ready before it was started.

    :param stage: the image that it will run in.
    :raises SlimtraceError: something does.
    """
    if isinstance(ready, Delay | Line):
        return
    if why_not(ready, HERE.entry if stage is None else _entry_in(stage)) is not None:
        return
    what, hint = "answers", "end what answers there, or let the app use another port"
    if isinstance(ready, File):
        what, hint = "exists", "delete it, or name a file that the app makes"
    elif isinstance(ready, Socket):
        hint = "end what answers there, or let the app use another socket"
    raise SlimtraceError(
        f"cannot wait for the app: {ready} {what} already, before it was started", hint
    )


def _entry_in(stage: Stage) -> Entry:
    """Opens what lies at a path of an image that is yet to be entered, or in a volume."""

    def entry(path: bytes) -> int:
        for volume in stage.volumes:
            target = os.fsencode(volume.target)
            if path == target or is_below(path, {target}):
                return HERE.entry(os.fsencode(volume.source) + path[len(target) :])
        root = os.open(stage.tree, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            return open_in_root(root, path, follow=True)
        finally:
            os.close(root)

    return entry
