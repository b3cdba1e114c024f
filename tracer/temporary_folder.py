"""Temporary folders that a signal does not leave behind."""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.tracer.remove_tree import remove_tree

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

    A signal's handler may raise between any two steps of Python, also right after mkdir(2), so the
    name is chosen before. To block signals would not do: the kernel gives them to another thread
    (signal(7)), and the handler runs in this one all the same.

    :param parent: where to make it; None for the system's folder of temporary files.
    :raises OSError: it cannot be made or removed.
    """
    name = prefix + secrets.token_hex(8)  # nobody else has this name
    path = os.path.join(os.path.abspath(parent or tempfile.gettempdir()), name)
    try:
        os.mkdir(path, 0o700)
        yield path
    finally:
        remove_tree(path)
