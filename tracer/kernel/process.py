"""Attributes of our own process (prctl(2), proc(5)), and facts about others by pidfd."""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.libc import keeping, last_error, releasing

if TYPE_CHECKING:
    from collections.abc import Iterator

_SYS_PIDFD_GETFD = 438  # the same on every architecture
_SYS_KEYCTL = {"x86_64": 250, "aarch64": 219}
_KEYCTL_JOIN_SESSION_KEYRING = 1


@contextmanager
def borrow_socket(process: int | None, fd: int) -> Iterator[socket.socket | None]:
    """The socket behind descriptor ``fd`` of a process; None when it is no socket or is refused."""
    own: socket.socket | None = None
    try:
        pidfd = os.pidfd_open(process) if process is not None else -1
    except OSError:
        pidfd = -1
    if pidfd >= 0:
        number = keeping.syscall(_SYS_PIDFD_GETFD, pidfd, fd, 0)
        os.close(pidfd)
        if number >= 0:
            try:
                own = socket.socket(fileno=number)
            except OSError:
                os.close(number)
    try:
        yield own
    finally:
        if own is not None:
            own.close()


_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_SET_NAME = 15
_PR_SET_CHILD_SUBREAPER = 36
_ARG_START, _ARG_END = 48, 49  # fields of /proc/PID/stat, counted from 1
_ENV_START, _ENV_END = 50, 51

_prctl = releasing.prctl
_prctl.argtypes = (ctypes.c_int, *(ctypes.c_ulong,) * 4)


def set_parent_death_signal(signal: int) -> None:
    """Have the kernel send ``signal`` when the parent *thread* ends; 0 for none.

    A change of credentials clears it, a fork too; an exec keeps it (PR_SET_PDEATHSIG(2const)).
    """
    _set(_PR_SET_PDEATHSIG, signal, "parent-death signal")


def become_subreaper() -> None:
    """Become the parent of all orphans among our descendants, instead of init."""
    _set(_PR_SET_CHILD_SUBREAPER, 1, "child subreaper")


def join_new_keyring() -> None:
    """Get an empty session keyring, for children too (keyctl_join_session_keyring(3)).

    Where the call is refused, as by engines' profiles, so is reading the old one.
    """
    releasing.syscall(_SYS_KEYCTL[platform.machine()], _KEYCTL_JOIN_SESSION_KEYRING, None)


def become_dumpable() -> None:
    """Allow others to trace this process again after a change of its credentials (ptrace(2))."""
    _set(_PR_SET_DUMPABLE, 1, "dumpable")


def forget_environment() -> None:
    """Overwrite what /proc/PID/environ shows; os.environ stays as it is."""
    start, end = _read_addresses(_ENV_START, _ENV_END)
    if end > start:
        ctypes.memset(start, 0, end - start)


def rename_process(title: str) -> None:
    """Change the name that ps(1) and pkill(1) use, cut to the size of the old arguments."""
    set_name(title)
    name = title.encode()
    start, end = _read_addresses(_ARG_START, _ARG_END)
    if end > start:
        ctypes.memmove(start, name[: end - start - 1].ljust(end - start, b"\0"), end - start)


def set_name(name: str) -> None:
    """Change the name of this thread, without a look at /proc; the kernel keeps 15 bytes."""
    buffer = ctypes.create_string_buffer(name.encode()[:15])
    _set(_PR_SET_NAME, ctypes.addressof(buffer), "process name")


def _read_addresses(*numbers: int) -> tuple[int, ...]:
    """Fields of /proc/self/stat."""
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b") ")[2].split()  # the first of these is field 3
    return tuple(int(fields[field - 3]) for field in numbers)


def _set(option: int, value: int, subject: str) -> None:
    if _prctl(option, value, 0, 0, 0) != 0:
        raise last_error(subject)


def read_tgid_and_ppid(pidfd: int) -> tuple[int, int] | None:
    """The thread group and the parent of a process; None before Linux 6.13 (PIDFD_GET_INFO)."""
    _info[0] = _PIDFD_INFO_PID
    try:
        fcntl.ioctl(pidfd, _GET_INFO, _info_bytes, True)
    except OSError:
        return None
    return _info[2] >> 32, _info[3] & 0xFFFFFFFF


def read_wait_status(pidfd: int) -> int | None:
    """The wait status of a process whose parent has waited for it; it need not be our child.

    None where it lives, or before Linux 6.15 (PIDFD_INFO_EXIT).
    """
    _info[0] = _PIDFD_INFO_EXIT
    try:
        fcntl.ioctl(pidfd, _GET_INFO, _info_bytes, True)
    except OSError:
        return None
    return _info[7] >> 32 if _info[0] & _PIDFD_INFO_EXIT else None


# struct pidfd_info (linux/pidfd.h), its first version, as u64: mask, cgroupid, pid and tgid,
# ppid and ruid, three of further ids, fsgid and exit_code.
_info_bytes = bytearray(64)
_info = memoryview(_info_bytes).cast("Q")
_PIDFD_INFO_PID, _PIDFD_INFO_EXIT = 1, 1 << 3
_GET_INFO = 3 << 30 | len(_info_bytes) << 16 | 0xFF << 8 | 11
