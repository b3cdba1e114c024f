"""Temporary folders that a signal does not leave behind."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.tracer.end_signals import END_SIGNALS

if TYPE_CHECKING:
    from collections.abc import Iterator


def find_disk_folder() -> str:
    """Where large temporary folders belong: $TMPDIR, else /var/tmp.

    /tmp is in memory on many machines.
    """
    places = [os.environ.get("TMPDIR"), "/var/tmp", tempfile.gettempdir()]  # noqa: S108
    return next(name for name in places if name and os.access(name, os.W_OK | os.X_OK))


@contextmanager
def make_temporary_folder(parent: str | None = None, prefix: str = "slimtrace-") -> Iterator[str]:
    """A new folder, removed at the end with all that is in it.

    A signal's handler may raise between any two steps of Python, also after mkdir(2) and before
    anything knows the folder's name. The signals that end a command wait until it is known.

    :param parent: where to make it; None for the system's folder of temporary files.
    :raises OSError: it cannot be made or removed.
    """
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, END_SIGNALS)
    try:
        folder = tempfile.TemporaryDirectory(prefix=prefix, dir=parent)
    except BaseException:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        raise
    with folder as path:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        yield path
