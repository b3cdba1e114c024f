"""The limit of the cache's size: what was used least recently goes first."""

from __future__ import annotations

import os
from contextlib import suppress

from slimtrace.builder.images.read.cache_inventory import is_removable, list_images, remove_unused
from slimtrace.builder.images.read.cache_layout import cache_folder
from slimtrace.tracer.console import say
from slimtrace.tracer.environment import read_limit
from slimtrace.tracer.errors import SlimtraceError

SIZE_VARIABLE = "SLIMTRACE_MAX_CACHE_SIZE"
_DISK_SHARE = 0.1


def find_limit(cached: int) -> int:
    """How many bytes the cache may have: a tenth of its disk, and no more than it leaves free.

    :param cached: bytes that it has now.
    :raises UsageError: the user's own limit is not a number.
    """
    disk = os.statvfs(_find_existing(cache_folder()))
    available = disk.f_bavail * disk.f_frsize
    default = min(int(disk.f_blocks * disk.f_frsize * _DISK_SHARE), (available + cached) // 2)
    return read_limit(SIZE_VARIABLE, default)


def enforce_limit() -> None:
    """Remove images that no process uses, until the others fit.

    What cannot be removed stays: the command that unpacked an image does not fail because of it.

    :raises UsageError: as :func:`find_limit`.
    """
    images = list_images()
    size = sum(image.size for image in images)
    limit = find_limit(size)
    freed = 0
    for image in reversed(images):
        if size - freed <= limit:
            break
        with suppress(SlimtraceError):
            if is_removable(image) and remove_unused(image.folder):
                freed += image.size
    if freed:
        from rich.filesize import decimal  # noqa: PLC0415 -- seldom needed

        say(
            f"removed {decimal(freed)} of unused images from the cache: it may have "
            f"{decimal(limit)} ({SIZE_VARIABLE})"
        )


def _find_existing(path: str) -> str:
    while not os.path.exists(path):
        path = os.path.dirname(path)
    return path
