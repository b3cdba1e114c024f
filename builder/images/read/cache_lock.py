"""Locks of what the cache holds: flock(2), so that nothing stays locked when a process ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def alone(place: str) -> Generator[None]:
    """Hold the lock of ``place`` alone. A lock of something that then is not there goes."""
    with holding(place, take(f"{place}.lock", fcntl.LOCK_EX)):
        yield


@contextmanager
def holding(place: str, fd: int) -> Generator[None]:
    """Hold a lock that was taken alone, as :func:`alone` does."""
    try:
        yield
    finally:
        if not os.path.exists(place):
            os.unlink(f"{place}.lock")
        os.close(fd)


def take_now(path: str) -> int | None:
    """A descriptor of a lock file that is locked alone; None where somebody else has it.

    An image's lock is not waited for: who made the image goes on to hold it, for long.
    """
    try:
        return take(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def take(path: str, how: int) -> int:
    """A descriptor of a lock file that is locked.

    :raises BlockingIOError: that would wait and must not.
    :raises OSError: the file cannot be made.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, how)
            # Who removes something removes its lock: another one may be there by now.
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
