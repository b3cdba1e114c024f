"""A tree with a layer to write to above it, which lies in a folder that is removed afterwards.

The layer may grow as large as the app makes it, so it lies on a disk and not in memory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from typing import NamedTuple

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.kernel.namespaces import (
    CLONE_NEWNS,
    MS_BIND,
    MS_NODEV,
    mount,
    remount_without_devices,
    unshare,
)
from slimtrace.tracer.remove_tree import remove_tree

_PREFIX = "slimtrace-scratch-"
_SECONDS = 60.0
_LOWER, _BELOW, _UPPER, _WORK, _MERGED = "lower", "below", "upper", "work", "root"


class OverlayMount(NamedTuple):
    """How the layer was laid: by the kernel's overlay, or ``instead``, and why not by that."""

    instead: str | None = None
    why: str | None = None


class ScratchFolder(NamedTuple):
    """``lock`` is a descriptor: while any copy of it is open, the folder is in use."""

    path: str
    lock: int


def make_folder() -> ScratchFolder:
    """A new folder in $TMPDIR, else in /var/tmp: /tmp is in memory on many machines.

    Its path has no symlinks: it is walked when the root is another already.

    Those that are in use no more go: who should have removed them was killed.

    :raises SlimtraceError: none can be made.
    """
    places = [os.environ.get("TMPDIR"), "/var/tmp", tempfile.gettempdir()]  # noqa: S108
    place = next(name for name in places if name and os.access(name, os.W_OK | os.X_OK))
    try:
        _sweep(place)
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=os.path.realpath(place))
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in (_LOWER, _BELOW, _UPPER, _WORK, _MERGED):
            os.mkdir(os.path.join(folder, name))
    except OSError as error:
        raise SlimtraceError(
            f"cannot make a place to write to in {place}: {error.strerror}",
            "name another with TMPDIR",
        ) from error
    return ScratchFolder(folder, lock)


def _sweep(place: str) -> None:
    """Remove what was left here, but nothing so new that it may not be locked yet."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            is_old = time.time() - status.st_mtime > _SECONDS
            if entry.name.startswith(_PREFIX) and is_old and status.st_uid == os.geteuid():
                _remove_unused(entry.path)


def _remove_unused(folder: str) -> None:
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_folder(folder)
        finally:
            os.close(lock)


def remove_folder(folder: str) -> None:
    """Remove it with all that was written there."""
    with suppress(OSError):
        remove_tree(folder)


def lay(tree: str, folder: str, *, own_xattrs: bool, below: str | None = None) -> OverlayMount:
    """Lay an empty layer above ``tree``, in this mount namespace alone, and go to its top.

    :param folder: from :func:`make_folder`.
    :param own_xattrs: whether this is a user namespace, where overlay keeps its notes in
        attributes that users may set (Documentation/filesystems/overlayfs.rst, userxattr).
    :param below: a directory that shows through where the tree has nothing.
    :raises OSError: the tree may not be mounted.
    :raises SlimtraceError: neither overlay can be had, and a copy fails.
    """
    os.chdir(folder)  # no name in the options: commas and colons mean something in them
    mount(tree, _LOWER, flags=MS_BIND)
    lower = _LOWER
    if below is not None:
        mount(below, _BELOW, flags=MS_BIND)
        lower = f"{_LOWER}:{_BELOW}"
    _as_below(_UPPER)
    options = f"lowerdir={lower},upperdir={_UPPER},workdir={_WORK}"
    laid = OverlayMount()
    try:
        mount("overlay", _MERGED, "overlay", MS_NODEV, options + ",userxattr" * own_xattrs)
    except OSError as error:
        laid = _by_fuse(options, os.strerror(error.errno or 0)) or _copied(error, below)
    os.chdir(_MERGED if laid.instead != "a copy" else _UPPER)
    return laid


def _as_below(upper: str) -> None:
    status = os.stat(_LOWER)
    with suppress(OSError):  # EINVAL: its owner does not exist in this user namespace
        os.chown(upper, status.st_uid, status.st_gid)
    os.chmod(upper, stat.S_IMODE(status.st_mode))
    os.utime(upper, ns=(status.st_atime_ns, status.st_mtime_ns))


def _by_fuse(options: str, why: str) -> OverlayMount | None:
    """By fuse-overlayfs(1), which goes to the background; it ends with its mount."""
    program = shutil.which("fuse-overlayfs")
    if program is None:
        return None
    done = subprocess.run(
        [program, "-o", options, _MERGED],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    if done.returncode != 0:
        return None
    # It stays in the namespace that it was started in: our change of root would be its own, too.
    unshare(CLONE_NEWNS)
    return OverlayMount("fuse-overlayfs", why)


def _copied(error: OSError, below: str | None) -> OverlayMount:
    """Of what lies below first: the tree gives the directories their owners and times."""
    done = subprocess.run(
        ["cp", "-a", *([] if below is None else [f"{_BELOW}/."]), f"{_LOWER}/.", _UPPER],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        cause = (done.stderr.strip().splitlines() or ["cp failed"])[-1]
        raise SlimtraceError(
            f"cannot lay a layer over the image, nor copy it: {cause}",
            "install fuse-overlayfs, or name a TMPDIR on a disk that overlay can write to",
        )
    mount(_UPPER, _UPPER, flags=MS_BIND)
    remount_without_devices(os.path.abspath(_UPPER))
    return OverlayMount("a copy", os.strerror(error.errno or 0))
