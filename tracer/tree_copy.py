"""Copies of folders and files of this machine, with all metadata, up to a size."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from slimtrace.tracer.environment import read_limit
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_VARIABLE = "SLIMTRACE_MAX_FOLDER_COPY"
_DEFAULT_MAX_BYTES = 512 << 20
_BLOCK_BYTES = 512  # the unit of st_blocks on every file system (stat(3type))


def copy_tree(source: str, copy: str) -> None:
    """Copy a folder or file, by reflink if the file system supports it.

    :param copy: a new path; its parent must not be in ``source``.
    :raises SlimtraceError: it is too large, or something cannot be copied.
    """
    limit = read_limit(SIZE_VARIABLE, _DEFAULT_MAX_BYTES)
    if _is_larger(source, limit):
        raise SlimtraceError(
            f"cannot copy {source}: it has more than {limit} bytes", f"set {SIZE_VARIABLE} to more"
        )
    if os.path.isdir(source):
        os.makedirs(copy, exist_ok=True)
        source += "/."
    done = subprocess.run(
        ["cp", "-a", "--reflink=auto", "--", source, copy],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        cause = (done.stderr.strip().splitlines() or ["cp failed"])[-1]
        raise SlimtraceError(f"cannot copy {source.removesuffix('/.')}: {cause}")


def _is_larger(path: str, limit: int) -> bool:
    """Whether the files at a path use more than ``limit`` bytes of its disk."""
    size = 0
    for status in _list_statuses(path):
        size += status.st_blocks * _BLOCK_BYTES
        if size > limit:
            return True
    return False


def _list_statuses(path: str) -> Iterator[os.stat_result]:
    yield os.lstat(path)
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            with suppress(OSError):
                yield os.lstat(os.path.join(folder, name))
