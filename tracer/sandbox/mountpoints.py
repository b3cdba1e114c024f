"""Where a mount point lies in a root while another root is mounted over its top.

The kernel must resolve no ``..`` there: a walk that comes back up to / goes on in the root that
lies over it (path_resolution(7)), and symlinks are the image's to choose.
"""

from __future__ import annotations

import errno
import os

from slimtrace.tracer.errors import SlimtraceError

_MOST_LINKS = 40  # MAXSYMLINKS (path_resolution(7))


def resolved(path: str) -> str:
    """An absolute path without symlinks, its end as far as it is missing as it is.

    os.path.realpath(3) leaves what is behind a loop of symlinks unresolved.

    :raises OSError: ELOOP.
    """
    found: list[str] = []
    left = path.split("/")[::-1]
    links = 0
    while left:
        name = left.pop()
        if name == "..":
            found = found[:-1]
        elif name not in ("", "."):
            target = _target("/".join(("", *found, name)))
            if target is None:
                found.append(name)
                continue
            links += 1
            if links > _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            left += target.split("/")[::-1]
            if target.startswith("/"):
                found = []
    return "/" + "/".join(found)


def check_plain(path: str) -> None:
    """See that no symlink lies at the end of a path.

    :raises SlimtraceError: one does.
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
