"""The root that the program sees, made of mounts that end with their namespace."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from slimtrace.tracer.kernel.namespaces import (
    MS_BIND,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    detach,
    mount,
    pivot_root,
    remount_read_only,
)
from slimtrace.tracer.sandbox.mountpoints import check_plain, resolve_mountpoint
from slimtrace.tracer.sandbox.overlay import OverlayMount, lay

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.tracer.image.runtime import Volume

_HARMLESS = MS_NOSUID | MS_NODEV | MS_NOEXEC
_KERNEL_DIRECTORIES = ("/proc", "/sys", "/dev")
_SCRATCH = {"/tmp": "mode=1777", "/run": "mode=755"}  # noqa: S108 (the program's own /tmp)
_WRITABLE = ("/tmp", "/run", "/var/tmp")  # noqa: S108 -- as podman run --read-only has them
_FILES = ("/etc/resolv.conf", "/etc/hosts")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_DEVICE_LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
    "ptmx": "pts/ptmx",
}
_MACHINE_WIDE = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
"""Parts of /proc that belong to the machine: read-only, as container engines have them."""


def enter_root(root: str, *, read_only: bool, mapped: bool) -> None:
    """Make ``root`` the root of this process, with what a container finds mounted in it.

    To be called by process 1 of a PID namespace, in a mount namespace of its own.

    :param root: absolute, without symlinks.
    :param mapped: whether this is a user namespace.
    :raises OSError: about what could not be mounted.
    :raises SlimtraceError: a symlink is in the place of /proc or its like.
    """
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    files = {path: os.path.realpath(path) for path in _FILES if os.path.isfile(path)}
    points = (*_KERNEL_DIRECTORIES, *(_SCRATCH if read_only else ()))
    whole = root == "/" or all(os.path.lexists(root + path) for path in (*points, *files))
    scratch = not whole and _lay_overlay(root, mapped=mapped)
    if not scratch:
        mount(root, root, flags=MS_BIND | MS_REC)
    # A mount on / is not seen by a walk from /, but by one that comes back up to it.
    os.chdir("/.." if root == "/" else root)
    _pivot()
    # From here on absolute paths are in the new root, relative ones in the old.
    for point in _KERNEL_DIRECTORIES:
        check_plain(point)
    if scratch:
        for point in points:
            os.makedirs(resolve_mountpoint(point), exist_ok=True)
    _mount_proc()
    _mount_sys()
    _mount_dev()
    if read_only:
        for path, options in _SCRATCH.items():
            _mount_scratch(resolve_mountpoint(path), options, mapped=mapped)
    for path, source in files.items():
        _mount_file(source.lstrip("/"), resolve_mountpoint(path), create=scratch)
    detach(".")
    os.chdir("/")
    if read_only:
        remount_read_only("/")


def enter_image(
    tree: str,
    scratch: str,
    *,
    files: Mapping[str, str],
    volumes: Iterable[Volume],
    own_xattrs: bool,
    below: str | None = None,
) -> OverlayMount:
    """Make an image's tree the root of this process, under a layer for what is written.

    To be called by process 1 of a PID namespace, in a mount namespace of its own.

    :param tree: absolute, without symlinks; it does not change.
    :param scratch: the folder for the layer (:func:`slimtrace.tracer.sandbox.overlay.make_folder`).
    :param files: paths in the image to the files of this machine that are shown there.
    :param own_xattrs: whether this is a user namespace.
    :param below: a directory that shows through where the tree has nothing; absolute.
    :raises OSError: about what could not be mounted.
    :raises SlimtraceError: no layer can be laid, or a symlink is in the place of /proc or its like.
    """
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    shown = [volume._replace(source=os.path.realpath(volume.source)) for volume in volumes]
    laid = lay(tree, scratch, own_xattrs=own_xattrs, below=below)
    _pivot()
    # From here on absolute paths are in the new root, relative ones in the old.
    for point in _KERNEL_DIRECTORIES:
        check_plain(point)
        os.makedirs(point, exist_ok=True)
    _mount_proc()
    _mount_sys()
    _mount_dev()
    _mount_tmp()
    for path, source in files.items():
        with suppress(PermissionError):  # another user's tree, where its place is missing
            _mount_file(source.lstrip("/"), resolve_mountpoint(path), create=True, read_only=False)
    for volume in sorted(shown, key=lambda shown: shown.target.count("/")):  # inner ones later
        _mount_volume(volume)
    detach(".")
    os.chdir("/")
    return laid


def leave_little_writable() -> None:
    """Make the root read-only, but for the mounts in it and what engines leave writable."""
    for path in _WRITABLE:
        if os.path.isdir(path) and not os.path.islink(path) and not os.path.ismount(path):
            mount(path, path, flags=MS_BIND | MS_REC)  # with the volumes in it
    remount_read_only("/")


def _mount_tmp() -> None:
    """In memory, unless the image has something there: it may be the app's."""
    path = "/tmp"  # noqa: S108 -- the app's own
    if not os.path.lexists(path):
        os.mkdir(path)
    if os.path.isdir(path) and not os.path.islink(path) and not os.listdir(path):
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")


def _mount_volume(volume: Volume) -> None:
    source, target = volume.source.lstrip("/") or ".", resolve_mountpoint(volume.target)
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
        mount(source, target, flags=MS_BIND | MS_REC)
        if volume.read_only:
            remount_read_only(target)
    else:
        _mount_file(source, target, create=True, read_only=volume.read_only)


def _lay_overlay(path: str, *, mapped: bool) -> bool:
    """Cover a directory with itself under scratch in memory; False where the kernel will not."""
    with _Directory(path) as lower:
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
        for name in ("upper", "work"):
            os.mkdir(f"{path}/{name}")
        with _Directory(f"{path}/upper") as upper, _Directory(f"{path}/work") as work:
            status = os.stat(lower.path)
            if not mapped:
                os.chown(upper.path, status.st_uid, status.st_gid)
            os.chmod(upper.path, stat.S_IMODE(status.st_mode))
            layers = f"lowerdir={lower.path},upperdir={upper.path},workdir={work.path}"
            options = layers + (",userxattr" if mapped else "")
            try:
                mount("overlay", path, "overlay", MS_NOSUID | MS_NODEV, options)
            except OSError:  # in a user namespace: EPERM before Linux 5.11
                detach(path)
                return False
    return True


class _Directory:
    """An open directory by a name without the commas and colons that mean something to overlay."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self.path = f"/proc/self/fd/{self._fd}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)


def _pivot() -> None:
    """Make the working directory the root and the old root the working directory."""
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    pivot_root(".", ".")  # the old root lies over the new one, and no directory is needed for it
    os.fchdir(old)
    os.close(old)


def _mount_directory(
    source: str, path: str, kind: str = "", flags: int = 0, options: str = ""
) -> None:
    """Mount on a directory, if the root has it."""
    if os.path.isdir(path):
        mount(source, path, kind, flags, options)


def _mount_proc() -> None:
    try:
        _mount_directory("proc", "/proc", "proc", _HARMLESS)
    except PermissionError:
        # Where the /proc outside has covered parts, as in a container, the kernel lets no user
        # namespace see it whole (mount_namespaces(7), "restrictions on mount namespaces").
        _mount_directory("proc", "/proc", flags=MS_BIND | MS_REC)
        remount_read_only("/proc")
        return
    for path in _MACHINE_WIDE:
        if os.path.exists(path):
            mount(path, path, flags=MS_BIND | MS_REC)
            remount_read_only(path)


def _mount_sys() -> None:
    try:
        _mount_directory("sysfs", "/sys", "sysfs", _HARMLESS | MS_RDONLY)
    except OSError:  # EPERM: it shows the network namespace, which is not ours; EBUSY: it is there
        _mount_directory("sys", "/sys", flags=MS_BIND | MS_REC)
        remount_read_only("/sys")


def _mount_dev() -> None:
    if not os.path.isdir("/dev"):
        return
    mount("tmpfs", "/dev", "tmpfs", MS_NOSUID, "mode=755,size=65536k")
    for name in _DEVICES:
        if os.path.exists(f"dev/{name}"):
            _mount_file(f"dev/{name}", f"/dev/{name}", create=True, read_only=False)
    for name, target in _DEVICE_LINKS.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/shm")  # noqa: S108 (the program's own)
    mount("shm", "/dev/shm", "tmpfs", _HARMLESS, "mode=1777,size=65536k")  # noqa: S108
    os.mkdir("/dev/pts")
    mount(
        "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"
    )


def _mount_scratch(path: str, options: str, *, mapped: bool) -> None:
    """Make a directory writable in memory, with what the root has in it: it may be the app."""
    if not os.path.isdir(path):
        return
    if not (os.listdir(path) and _lay_overlay(path, mapped=mapped)):
        mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options)


def _mount_file(source: str, target: str, *, create: bool, read_only: bool = True) -> None:
    """Show a file of the old root; where its place is missing and not to be made, do not."""
    if not os.path.exists(target):
        if not create:
            return
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o644))
    mount(source, target, flags=MS_BIND)
    if read_only:
        remount_read_only(target)
