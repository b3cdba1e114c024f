"""Resolves mount points in a root while another root is mounted over its top.

The kernel must not resolve ``..`` there: a walk that comes back up to / goes on in the root that
is mounted over it (path_resolution(7)), and the image chooses the symlinks.
"""

from __future__ import annotations

import errno
import os

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.path_resolution import LinkTarget, parent_path, walk

DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}
"""Links of /dev, as container engines make them."""


def resolve_mountpoint(path: str) -> str:
    """Resolve the symlinks in an absolute path; names that do not exist stay as they are.

    os.path.realpath is no help: it leaves what follows a loop of symlinks unresolved.

    :raises OSError: ELOOP.
    """
    walked = walk(path, "", parent_path, _look)
    if walked.rest:
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return walked.node or "/"


def _look(directory: str, name: str, is_last: bool) -> str | LinkTarget:  # noqa: ARG001
    path = f"{directory}/{name}"
    target = _target(path)
    return path if target is None else LinkTarget(target)


def check_plain(path: str) -> None:
    """Check that the last component of a path is not a symlink.

    :raises SlimtraceError: it is one.
    """
    target = _target(path)
    if target is not None:
        raise SlimtraceError(
            f"cannot mount on {path}: it is a symlink to {target}",
            "make it a directory, or nothing",
        )


def _target(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None
