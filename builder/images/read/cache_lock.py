"""Locks of images in the cache: flock(2), which the kernel releases when a process ends."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator


@contextmanager
def lock_path(path: str) -> Generator[None]:
    """Hold the exclusive lock of ``path``; remove the lock file if ``path`` does not exist then."""
    with release_lock(path, take_lock(f"{path}.lock", fcntl.LOCK_EX)):
        yield


@contextmanager
def release_lock(path: str, fd: int) -> Generator[None]:
    """Release an exclusive lock of ``path`` when the block ends, as :func:`lock_path` does."""
    try:
        yield
    finally:
        if not os.path.exists(path):
            os.unlink(f"{path}.lock")
        os.close(fd)


def try_lock(path: str) -> int | None:
    """Lock a lock file exclusively; None if another process has a lock.

    Nobody waits for an image's lock: the process that unpacked the image keeps it while it runs.
    """
    try:
        return take_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return None


def take_lock(path: str, operation: int) -> int:
    """Make a lock file and lock it; return its descriptor.

    :param operation: of flock(2).
    :raises BlockingIOError: another process has a lock, and ``operation`` has LOCK_NB.
    :raises OSError: the file cannot be made.
    """
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, operation)
            # A process that removes an image removes its lock file: the path may be a new file.
            if os.path.samestat(os.fstat(fd), os.stat(path)):
                return fd
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
