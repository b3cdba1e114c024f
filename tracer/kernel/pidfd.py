"""Borrows a descriptor of another process to ask what it is (pidfd_getfd(2), Linux 5.6)."""

from __future__ import annotations

import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.libc import keeping

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYS_PIDFD_GETFD = 438  # the same on every architecture


@contextmanager
def borrow(process: int | None, fd: int) -> Iterator[socket.socket | None]:
    """The socket behind descriptor ``fd`` of a process; None when it is none or out of reach."""
    own: socket.socket | None = None
    try:
        pidfd = os.pidfd_open(process) if process is not None else -1
    except OSError:
        pidfd = -1
    if pidfd >= 0:
        number = keeping.syscall(_SYS_PIDFD_GETFD, pidfd, fd, 0)
        os.close(pidfd)
        if number >= 0:
            try:
                own = socket.socket(fileno=number)
            except OSError:
                os.close(number)
    try:
        yield own
    finally:
        if own is not None:
            own.close()
