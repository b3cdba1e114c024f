"""Mounts a writable layer over an image's tree; the layer's folder is removed afterwards.

The layer may become as large as the app makes it, so it is on a disk and not in memory.
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
from slimtrace.tracer.sandbox.image_copy import copy_image
from slimtrace.tracer.sandbox.userns import has_one_user
from slimtrace.tracer.temporary_folder import find_disk_folder

_PREFIX = "slimtrace-scratch-"
_MIN_UNUSED_SECONDS = 60.0
_LOWER, _BELOW, _UPPER, _WORK, _MERGED = "lower", "below", "upper", "work", "root"


class OverlayMount(NamedTuple):
    """What carries the writes: the kernel's overlay, or ``instead``, and ``why`` it failed."""

    instead: str | None = None
    why: str | None = None


class ScratchFolder(NamedTuple):
    """``lock`` is a descriptor: while any copy of it is open, the folder is in use."""

    path: str
    lock: int


def create_scratch_folder() -> ScratchFolder:
    """Create a folder on a disk: what the app writes may be large.

    Its path has no symlinks, because it is also used after the root has changed. Folders that a
    killed run left behind are removed.

    :raises SlimtraceError: it cannot be created.
    """
    place = find_disk_folder()
    try:
        _sweep(place)
        folder = tempfile.mkdtemp(prefix=_PREFIX, dir=os.path.realpath(place))
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        for name in (_LOWER, _BELOW, _UPPER, _WORK, _MERGED):
            os.mkdir(os.path.join(folder, name))
    except OSError as error:
        raise SlimtraceError(
            f"cannot create a scratch folder in {place}: {error.strerror}",
            "set TMPDIR to another directory",
        ) from error
    return ScratchFolder(folder, lock)


def _sweep(place: str) -> None:
    """Remove unused folders, except new ones: their owner may not have locked them yet."""
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            is_old = time.time() - status.st_mtime > _MIN_UNUSED_SECONDS
            if entry.name.startswith(_PREFIX) and is_old and status.st_uid == os.geteuid():
                _remove_unused(entry.path)


def _remove_unused(folder: str) -> None:
    with suppress(OSError):
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            remove_scratch_folder(folder)
        finally:
            os.close(lock)


def remove_scratch_folder(folder: str) -> None:
    """Remove the folder and all that was written to it."""
    with suppress(OSError):
        remove_tree(folder)


def mount_overlay(
    tree: str, folder: str, *, own_xattrs: bool, below: str | None = None
) -> OverlayMount:
    """Mount an empty layer over ``tree``, in this mount namespace, and change to its top.

    :param folder: from :func:`create_scratch_folder`.
    :param own_xattrs: whether this is a user namespace, where overlay keeps its notes in
        attributes that users may set (Documentation/filesystems/overlayfs.rst, userxattr).
    :param below: a directory that shows through where the tree has nothing.
    :raises OSError: the tree may not be mounted.
    :raises SlimtraceError: no overlay can be mounted, and a copy fails.
    """
    os.chdir(folder)  # no name in the options: commas and colons mean something in them
    mount(tree, _LOWER, flags=MS_BIND)
    lower = _LOWER
    if below is not None:
        mount(below, _BELOW, flags=MS_BIND)
        lower = f"{_LOWER}:{_BELOW}"
    match_directory(_UPPER, _LOWER)
    options = f"lowerdir={lower},upperdir={_UPPER},workdir={_WORK}"
    laid = OverlayMount()
    try:
        mount("overlay", _MERGED, "overlay", MS_NODEV, options + ",userxattr" * own_xattrs)
    except OSError as error:
        laid = _by_fuse(options, os.strerror(error.errno or 0)) or _copied(error, below)
    os.chdir(_MERGED if laid.instead != "a copy" else _UPPER)
    return laid


def match_directory(upper: str, lower: str) -> None:
    """Give an empty layer the owner, mode and times of the directory that it is laid over."""
    status = os.stat(lower)
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
    owners = ["--no-preserve=ownership"] if has_one_user() else []  # others cannot be kept
    for tree in ([] if below is None else [_BELOW]) + [_LOWER]:
        copy_image(tree, _UPPER, owners)
    mount(_UPPER, _UPPER, flags=MS_BIND)
    remount_without_devices(os.path.abspath(_UPPER))
    return OverlayMount("a copy", os.strerror(error.errno or 0))
