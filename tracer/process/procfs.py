"""What /proc says about a process or thread (proc(5)). The tracer keeps no model of its own.

psutil reads the same files, but not all of these facts, and at many times the cost (it checks the
start time of the process each time); most of them are read while a call waits for an answer.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from slimtrace.tracer.process.magic_links import read_link

_COMMAND_LINE_BLOCK = 4096
_STARTSTACK = 28  # fields of /proc/PID/stat, counted from 1


def read_tgid_and_ppid(tid: int) -> tuple[int, int] | None:
    """The process of a thread, and the parent of that process; None when it is gone."""
    fields = _read_status(tid)
    return (int(fields[b"Tgid"]), int(fields[b"PPid"])) if fields else None


def read_tgid(tid: int) -> int | None:
    """The process (thread group) of a thread, or None when it is gone."""
    fields = _read_status(tid)
    return int(fields[b"Tgid"]) if fields else None


def read_ppid(tid: int) -> int | None:
    """The parent process, or None when this one is gone."""
    fields = _read_status(tid)
    return int(fields[b"PPid"]) if fields else None


def read_tracer_pid(tid: int) -> int:
    """The process that ptraces the thread; 0 for none."""
    return int(_read_status(tid).get(b"TracerPid", 0))


def read_effective_ids(tid: int) -> tuple[int, int]:
    """The effective user and group of a process; (0, 0) when it is gone."""
    fields = _read_status(tid)
    if not fields:
        return 0, 0
    return int(fields[b"Uid"].split()[1]), int(fields[b"Gid"].split()[1])


class Credentials(NamedTuple):
    """What the file system checks of a thread; ``capabilities`` are the effective ones, as bits."""

    uid: int
    groups: frozenset[int]
    capabilities: int


def read_credentials(tid: int) -> Credentials:
    """The file-system credentials of a thread (credentials(7)); no rights when it is gone."""
    fields = _read_status(tid)
    if not fields:
        return Credentials(-1, frozenset(), 0)
    groups = (fields[b"Gid"].split()[3], *fields[b"Groups"].split())
    uid = int(fields[b"Uid"].split()[3])
    return Credentials(uid, frozenset(map(int, groups)), int(fields[b"CapEff"], 16))


def read_namespace_pids(tid: int) -> tuple[int, ...]:
    """The thread's number in each PID namespace, ours first (proc(5), NSpid)."""
    return tuple(map(int, _read_status(tid).get(b"NSpid", b"").split()))


def has_pending_signal(tid: int) -> bool:
    """Whether a signal that the thread does not block waits for delivery (proc(5), status)."""
    fields = _read_status(tid)
    if not fields:
        return False
    pending = int(fields[b"SigPnd"], 16) | int(fields[b"ShdPnd"], 16)
    return bool(pending & ~int(fields[b"SigBlk"], 16))


def _read_status(tid: int) -> dict[bytes, bytes]:
    """The fields of /proc/TID/status; none when the thread is gone."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            return dict(line.split(b":", 1) for line in file)
    except OSError:
        return {}


def has_ended(tid: int) -> bool:
    """Whether the thread is gone, or a zombie (proc(5), stat)."""
    fields = _read_stat(tid)
    return not fields or fields[0] in (b"Z", b"X")


def read_stack_start(process: int) -> bytes | None:
    """The address where the stack begins (proc(5), stat, startstack): an exec moves it."""
    fields = _read_stat(process)
    return fields[_STARTSTACK - 3] if fields else None


def _read_stat(tid: int) -> list[bytes]:
    """The fields of /proc/TID/stat from the third on; none when the thread is gone."""
    try:
        with open(f"/proc/{tid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return []


def list_threads(process: int) -> list[int]:
    """The threads of a process, the leader first; none when it is gone."""
    try:
        return sorted(map(int, os.listdir(f"/proc/{process}/task")))
    except OSError:
        return []


def list_children(process: int, thread: int) -> list[int]:
    """The processes that a thread made (proc(5)); none where the kernel does not list them."""
    try:
        with open(f"/proc/{process}/task/{thread}/children", "rb") as file:
            return [*map(int, file.read().split())]
    except OSError:
        return []


def read_open_flags(tid: int, fd: int) -> int | None:
    """The flags with which a descriptor was opened (proc(5), fdinfo); None when it is closed."""
    try:
        with open(f"/proc/{tid}/fdinfo/{fd}", "rb") as file:
            return next(int(line.split()[1], 8) for line in file if line.startswith(b"flags:"))
    except (OSError, StopIteration):
        return None


def is_on_fuse(tid: int, path: bytes) -> bool:
    """Whether the mount that contains ``path``, by its name, is a FUSE one (proc(5), mounts)."""
    try:
        with open(f"/proc/{tid}/mounts", "rb") as file:
            mounts = [line.split(b" ")[1:3] for line in file]
    except OSError:
        return False
    nearest_point, nearest_type = b"", b""
    for point, fs_type in mounts:
        below = point == b"/" or (path + b"/").startswith(point + b"/")
        if below and len(point) >= len(nearest_point):
            nearest_point, nearest_type = point, fs_type
    return nearest_type == b"fuse" or nearest_type.startswith((b"fuse.", b"fuseblk"))


def read_program_name(tid: int) -> str:
    """The file that a process runs; where that is unknown, the name that the kernel shows."""
    exe = read_link(b"/proc/%d/exe" % tid)
    if exe is not None:
        return os.fsdecode(exe)
    try:
        with open(f"/proc/{tid}/comm", "rb") as file:
            return os.fsdecode(file.read().rstrip(b"\n"))
    except OSError:
        return "a process that is gone"


def read_environment(tid: int) -> dict[str, str]:
    """The variables with which the program started; none when they may not be read."""
    try:
        with open(f"/proc/{tid}/environ", "rb") as file:
            entries = file.read().split(b"\0")
    except OSError:
        return {}
    pairs = (os.fsdecode(entry).partition("=") for entry in entries)
    return {name: value for name, is_set, value in pairs if is_set}


def read_command_line(tid: int) -> tuple[str, ...]:
    """The arguments with which the program started; empty when the process is gone."""
    try:
        fd = os.open(f"/proc/{tid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ()
    try:
        data = os.read(fd, _COMMAND_LINE_BLOCK)
        while more := len(data) % _COMMAND_LINE_BLOCK == 0 and os.read(fd, _COMMAND_LINE_BLOCK):
            data += more
    except OSError:
        return ()
    finally:
        os.close(fd)
    return tuple(map(os.fsdecode, data.split(b"\0")[:-1]))


def has_other_mounts(tid: int, than: str) -> bool:
    """Whether the thread has another mount namespace than a process, and its root is the top."""
    try:
        return os.readlink(f"/proc/{tid}/ns/mnt") != os.readlink(f"/proc/{than}/ns/mnt") and (
            os.readlink(f"/proc/{tid}/root") == "/"
        )
    except OSError:
        return False


def has_other_root(tid: int, than: str) -> bool:
    """Whether the thread's root or mount namespace is not that of a process."""
    try:
        return any(
            os.readlink(f"/proc/{tid}/{name}") != os.readlink(f"/proc/{than}/{name}")
            for name in ("root", "ns/mnt")
        )
    except OSError:
        return False


def has_own_pid_namespace(tid: int) -> bool:
    """Whether the thread's PID namespace is not the tracer's (pid_namespaces(7))."""
    try:
        return os.readlink(f"/proc/{tid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:
        return True
