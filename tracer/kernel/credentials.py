"""The credentials of one thread: the C library's own functions change those of all threads.

Sources: setresuid(2), setfsuid(2), capabilities(7), C library/kernel differences.
"""

from __future__ import annotations

import ctypes
import os
import platform

from slimtrace.tracer.kernel.libc import keeping, last_error

CAP_SYS_PTRACE = 19  # linux/capability.h

_VERSION_3 = 0x20080522
_NUMBERS = {  # setresuid, setresgid, setfsuid, setfsgid, capget, capset
    "x86_64": (117, 119, 122, 123, 125, 126),
    "aarch64": (147, 149, 151, 152, 90, 91),
}
_AS_IT_IS = -1
_FILE_CAPABILITIES = 0b11111  # CAP_CHOWN to CAP_FSETID


class _Header(ctypes.Structure):  # struct __user_cap_header_struct
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Sets(ctypes.Structure):  # struct __user_cap_data_struct
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def take_ids(uid: int, gid: int) -> None:
    """Take the real and the file system's IDs of another user, and keep root's rights.

    The kernel lets a thread look at processes whose IDs are those, and whose capabilities it has
    too (ptrace(2), "ptrace access mode checking"). Only for a thread of root.

    :raises OSError: EPERM without CAP_SETUID and CAP_SETGID.
    """
    setresuid, setresgid, setfsuid, setfsgid, _, _ = _NUMBERS[platform.machine()]
    if keeping.syscall(setresgid, gid, _AS_IT_IS, _AS_IT_IS) != 0:
        raise last_error("setresgid")
    keeping.syscall(setfsgid, gid)
    if keeping.syscall(setresuid, uid, _AS_IT_IS, _AS_IT_IS) != 0:
        raise last_error("setresuid")
    keeping.syscall(setfsuid, uid)
    _raise_capabilities()  # setfsuid has dropped those of files


def has_capability(number: int) -> bool:
    """Whether this thread has a capability."""
    sets = _read_capabilities()
    return bool(sets[number // 32].effective >> number % 32 & 1)


def may_look_at_all() -> bool:
    """Whether this process may look at those of other users, as far as user IDs matter."""
    return os.geteuid() != 0 or has_capability(CAP_SYS_PTRACE)


def drop_file_capabilities() -> None:
    """Be subject to the permissions of files, until the next :func:`take_ids`."""
    sets = _read_capabilities()
    sets[0].effective &= ~_FILE_CAPABILITIES
    _write_capabilities(sets)


def _raise_capabilities() -> None:
    sets = _read_capabilities()
    for each in sets:
        each.effective = each.permitted
    _write_capabilities(sets)


def _write_capabilities(sets: ctypes.Array[_Sets]) -> None:
    header = _Header(_VERSION_3, 0)
    capset = _NUMBERS[platform.machine()][5]
    if keeping.syscall(capset, ctypes.byref(header), ctypes.byref(sets)) != 0:
        raise last_error("capset")


def _read_capabilities() -> ctypes.Array[_Sets]:
    header, sets = _Header(_VERSION_3, 0), (_Sets * 2)()
    capget = _NUMBERS[platform.machine()][4]
    if keeping.syscall(capget, ctypes.byref(header), ctypes.byref(sets)) != 0:
        raise last_error("capget")
    return sets
