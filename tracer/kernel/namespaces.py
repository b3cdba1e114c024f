"""Namespaces and mounts, and the process attributes that go with them.

Sources: unshare(2), setns(2), mount(2), umount2(2), pivot_root(2), prctl(2), namespaces(7). The
numbers are those of linux/sched.h, linux/mount.h and linux/prctl.h.
"""

from __future__ import annotations

import os
from ctypes import c_char_p, c_int, c_ulong

from slimtrace.tracer.kernel.libc import last_error, releasing

CLONE_FS = 0x00000200
CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY = 1
MS_NOSUID = 2
MS_NODEV = 4
MS_NOEXEC = 8
MS_REMOUNT = 32
MS_BIND = 4096
MS_MOVE = 8192
MS_REC = 16384
MS_PRIVATE = 1 << 18
MS_SLAVE = 1 << 19
MS_RELATIME = 1 << 21

_MNT_DETACH = 2
_PR_CAPBSET_DROP = 24
_ST_RELATIME = 4096  # the one flag that statvfs(3) and mount(2) number differently
_SHARED_FLAGS = 0xC0F  # read-only, nosuid, nodev, noexec, noatime, nodiratime

_mount = releasing.mount
_mount.argtypes = (c_char_p, c_char_p, c_char_p, c_ulong, c_char_p)
_umount2 = releasing.umount2
_umount2.argtypes = (c_char_p, c_int)
_pivot_root = releasing.pivot_root
_pivot_root.argtypes = (c_char_p, c_char_p)
_prctl = releasing.prctl
_prctl.argtypes = (c_int, c_ulong, c_ulong, c_ulong, c_ulong)


def unshare(flags: int) -> None:
    """Leave the shared namespaces named by CLONE_NEW* flags for new ones.

    :raises OSError: EPERM without privilege, ENOSPC or EUSERS where their number is limited,
        EINVAL where the kernel was built without them.
    """
    if releasing.unshare(c_int(flags)) != 0:
        raise last_error("namespaces")


def enter_namespace(fd: int, kind: int) -> None:
    """Enter the namespace of a descriptor (setns(2)); ``kind`` is its CLONE_NEW* flag.

    :raises OSError: EPERM without CAP_SYS_ADMIN in it.
    """
    if releasing.setns(c_int(fd), c_int(kind)) != 0:
        raise last_error("namespace")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount ``source``; ``kind`` is the filesystem's type, ``data`` its options.

    :raises OSError: about ``target``.
    """
    strings = [os.fsencode(text) for text in (source, target, kind)]
    if _mount(*strings, flags, os.fsencode(data)) != 0:
        raise last_error(f"mount on {target}")


def remount_read_only(target: str) -> None:
    """Make one mount read-only, leaving its filesystem and its other mounts as they are."""
    _restrict(target, MS_RDONLY)


def remount_without_devices(target: str) -> None:
    """Disable the device files in one mount (mount(2), MS_NODEV)."""
    _restrict(target, MS_NODEV)


def _restrict(target: str, extra: int) -> None:
    """Add a flag to a mount. Its flags must be repeated: a user namespace locks them.

    Source: mount_namespaces(7).
    """
    present = os.statvfs(target).f_flag
    flags = present & _SHARED_FLAGS | (MS_RELATIME if present & _ST_RELATIME else 0)
    mount("none", target, flags=flags | MS_REMOUNT | MS_BIND | extra)


def detach(target: str) -> None:
    """Unmount ``target`` and all mounts below it; the kernel frees them after their last use."""
    if _umount2(os.fsencode(target), _MNT_DETACH) != 0:
        raise last_error(f"unmount {target}")


def pivot_root(new_root: str, put_old: str) -> None:
    """Make ``new_root`` the root of this mount namespace; the old root moves to ``put_old``."""
    if _pivot_root(os.fsencode(new_root), os.fsencode(put_old)) != 0:
        raise last_error(f"pivot_root to {new_root}")


def drop_from_bounding_set(capability: int) -> bool:
    """Prevent that an exec gains a capability; False where the kernel has no such number.

    :raises OSError: EPERM without CAP_SETPCAP.
    """
    if _prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == 0:
        return True
    error = last_error(f"capability {capability}")
    if error.errno == 22:  # EINVAL: above the last capability of this kernel
        return False
    raise error
