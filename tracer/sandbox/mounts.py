"""The mounts that are the app's root; they end with their mount namespace."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.kernel.namespaces import (
    CLONE_NEWPID,
    MS_BIND,
    MS_MOVE,
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
    unshare,
)
from slimtrace.tracer.sandbox.mountpoints import DEVICE_LINKS, check_plain, resolve_mountpoint
from slimtrace.tracer.sandbox.overlay import OverlayMount, mount_overlay
from slimtrace.tracer.sandbox.userns import is_in_first_namespace

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.tracer.image.runtime import Volume

_HARMLESS = MS_NOSUID | MS_NODEV | MS_NOEXEC
_KERNEL_DIRECTORIES = ("/proc", "/sys", "/dev")
_WRITABLE = ("/tmp", "/run", "/var/tmp")  # noqa: S108 -- as podman run --read-only has them
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_MACHINE_WIDE = ("/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs")
"""Parts of /proc that belong to the machine: read-only, as container engines have them."""


class EnteredImage(NamedTuple):
    """How an image became the root.

    :ivar layer: what carries the writes.
    :ivar proc_is_missing: whether process 1 must still call :func:`mount_proc`, before
        :func:`leave_old_root`; else /proc is that of the outside.
    :ivar is_apart: whether the old root can be unmounted; else it is hidden below the new one.
    """

    layer: OverlayMount
    proc_is_missing: bool
    is_apart: bool

    def list_notes(self) -> list[str]:
        """What the user should know of this root."""
        notes = []
        if self.layer.instead is not None:
            notes.append(
                f"writing to {self.layer.instead}: no overlay can be had here ({self.layer.why})"
            )
        if not self.proc_is_missing:
            notes.append("/proc also shows processes outside: no other can be mounted here")
        if not self.is_apart:
            notes.append("an app that is root can leave its root: pivot_root is refused here")
        return notes


def make_mounts_private() -> None:
    """Keep what is mounted from now on in this mount namespace.

    :raises OSError: EPERM or EACCES where nothing may be mounted.
    """
    mount("none", "/", flags=MS_REC | MS_PRIVATE)


def enter_image(
    tree: str,
    scratch: str,
    *,
    files: Mapping[str, str],
    volumes: Iterable[Volume],
    own_xattrs: bool,
    below: str | None = None,
) -> EnteredImage:
    """Make an image's tree the root of this process, under a layer for what is written.

    To be called in a mount namespace of its own. The working directory is the old root then.

    :param tree: absolute, without symlinks; it does not change.
    :param scratch: the folder for the layer (:func:`slimtrace.tracer.sandbox.overlay.make_folder`).
    :param files: paths in the image to the files of this machine that are shown there.
    :param own_xattrs: whether this is a user namespace.
    :param below: a directory that shows through where the tree has nothing; absolute.
    :raises OSError: about what could not be mounted.
    :raises SlimtraceError: no layer can be laid, or a symlink is in the place of /proc or its like.
    """
    shown = [volume._replace(source=os.path.realpath(volume.source)) for volume in volumes]
    laid = mount_overlay(tree, scratch, own_xattrs=own_xattrs, below=below)
    is_apart = _pivot()
    # From here on absolute paths are in the new root, relative ones in the old.
    for point in _KERNEL_DIRECTORIES:
        check_plain(point)
        os.makedirs(point, exist_ok=True)
    mounts_proc = _can_mount_proc()
    if not mounts_proc:
        mount("proc", "/proc", flags=MS_BIND | MS_REC)
        _protect_machine()
    _mount_sys()
    _mount_dev()
    _mount_tmp()
    for path, source in files.items():
        with suppress(PermissionError):  # another user's tree, where its place is missing
            _mount_file(source.lstrip("/"), resolve_mountpoint(path))
    for volume in sorted(shown, key=lambda shown: shown.target.count("/")):  # inner ones later
        _mount_volume(volume)
    return EnteredImage(laid, mounts_proc, is_apart)


def mount_proc() -> None:
    """Mount the /proc of this process's PID namespace; the old root must still be mounted."""
    _mount_directory("proc", "/proc", "proc", _HARMLESS)
    _protect_machine()


def leave_old_root(*, is_apart: bool) -> None:
    """Unmount the old root, which is the working directory, and all that is mounted in it."""
    if is_apart:
        detach(".")
    os.chdir("/")


def make_root_read_only(declared_volumes: Iterable[str] = ()) -> None:
    """Make the root read-only, except for mounts in it and what engines leave writable.

    :param declared_volumes: of the image's config; they are created if they are missing, as
        engines do.
    """
    resolved = map(os.path.realpath, declared_volumes)
    kernel = tuple(f"{path}/" for path in _KERNEL_DIRECTORIES)
    volumes = [path for path in resolved if not f"{path}/".startswith(kernel)]
    for path in volumes:
        with suppress(OSError):
            os.makedirs(path, exist_ok=True)
    for path in sorted({*_WRITABLE, *volumes}):  # outer ones first
        if os.path.isdir(path) and not os.path.islink(path) and not os.path.ismount(path):
            mount(path, path, flags=MS_BIND | MS_REC)  # with the volumes in it
    remount_read_only("/")


def _mount_tmp() -> None:
    """Mount /tmp in memory, unless the image has files there, which may be the app's."""
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
        _mount_file(source, target, read_only=volume.read_only)


def _pivot() -> bool:
    """Make the working directory the root and the old root the working directory.

    :returns: whether the old root can be unmounted. Docker's profile refuses pivot_root(2) even to
        those who may mount; then the new root is moved over the old one.
    """
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        pivot_root(".", ".")  # the old root lies over the new one, and needs no directory for it
        is_apart = True
    except PermissionError:
        mount(".", "/", flags=MS_MOVE)
        os.chroot(".")
        is_apart = False
    os.fchdir(old)
    os.close(old)
    return is_apart


def _mount_directory(
    source: str, path: str, kind: str = "", flags: int = 0, options: str = ""
) -> None:
    """Mount on a directory, if the root has it."""
    if os.path.isdir(path):
        mount(source, path, kind, flags, options)


def _can_mount_proc() -> bool:
    """Whether a /proc of a PID namespace of ours can be mounted.

    Where the /proc outside has covered parts, as in a container, the kernel lets no user namespace
    see it whole (mount_namespaces(7), "restrictions on mount namespaces"). Tried in a PID namespace
    that ends with the attempt.
    """
    if is_in_first_namespace():
        return True
    pid = os.fork()
    if pid == 0:
        status = 1
        with suppress(OSError):
            unshare(CLONE_NEWPID)
            inner = os.fork()
            if inner == 0:
                with suppress(OSError):
                    mount("proc", "/proc", "proc", _HARMLESS)
                    detach("/proc")
                    status = 0
            else:
                status = os.waitstatus_to_exitcode(os.waitpid(inner, 0)[1])
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def _protect_machine() -> None:
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
            _make_device(f"dev/{name}", f"/dev/{name}")
    for name, target in {**DEVICE_LINKS, "ptmx": "pts/ptmx"}.items():
        os.symlink(target, f"/dev/{name}")
    os.mkdir("/dev/shm")  # noqa: S108 (the program's own)
    mount("shm", "/dev/shm", "tmpfs", _HARMLESS, "mode=1777,size=65536k")  # noqa: S108
    os.mkdir("/dev/pts")
    mount(
        "devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620"
    )


def _make_device(source: str, target: str) -> None:
    """Make a device node like that of the old root; where that is refused, show that one.

    That one is the machine's: the mount is read-only, which a device's data passes, but no change
    of its mode, owner or times (mount(8)).
    """
    about = os.stat(source)
    try:
        os.mknod(target, 0o666 | stat.S_IFCHR, about.st_rdev)
        os.chmod(target, 0o666)  # noqa: S103 -- as it is on every machine; mknod applies the umask
    except PermissionError:  # a user namespace (mknod(2))
        _mount_file(source, target, read_only=True)


def _mount_file(source: str, target: str, *, read_only: bool = False) -> None:
    """Bind-mount a file of the old root; its mount point is created if it is missing."""
    if not os.path.exists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_CLOEXEC, 0o644))
    mount(source, target, flags=MS_BIND)
    if read_only:
        remount_read_only(target)
