"""openat2(2): resolves a path inside another root without leaving it (Linux 5.6)."""

from __future__ import annotations

import ctypes
import errno
import os

from slimtrace.tracer.kernel.libc import keeping, last_error

_SYS_OPENAT2 = 437  # the same on every architecture
_RESOLVE_IN_ROOT = 0x10
_MAX_ATTEMPTS = 128
"""A path with ``..`` fails with EAGAIN when anything is renamed or mounted at the same time."""

_syscall = keeping.syscall


class _How(ctypes.Structure):  # struct open_how
    _fields_ = (
        ("flags", ctypes.c_uint64),
        ("mode", ctypes.c_uint64),
        ("resolve", ctypes.c_uint64),
    )


def open_in_root(root: int, path: bytes, *, follow: bool) -> int:
    """An O_PATH descriptor of ``path``, resolved with the directory ``root`` as ``/``.

    :raises OSError: ENOENT, ENOTDIR and the like where there is no such file.
    """
    flags = os.O_PATH | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    how = _How(flags, 0, _RESOLVE_IN_ROOT)
    for _ in range(_MAX_ATTEMPTS):
        fd: int = _syscall(
            ctypes.c_long(_SYS_OPENAT2),
            ctypes.c_int(root),
            ctypes.c_char_p(path or b"."),
            ctypes.byref(how),
            ctypes.c_size_t(ctypes.sizeof(how)),
        )
        if fd >= 0:
            return fd
        if ctypes.get_errno() != errno.EAGAIN:
            break
    raise last_error(os.fsdecode(path))
