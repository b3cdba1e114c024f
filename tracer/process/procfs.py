"""The kernel's word about a thread: where its paths start (proc(5)). Nothing is modelled."""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.kernel.openat2 import open_in_root
from slimtrace.tracer.paths import join
from slimtrace.tracer.syscalls.table import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DELETED = b" (deleted)"
_ENOUGH = 4096
_STARTSTACK = 28  # fields of /proc/PID/stat, counted from 1

_MAGIC_LINK = re.compile(
    rb"/(?:proc/(?P<who>self|thread-self|\d+(?:/task/\d+)?)/(?P<link>exe|cwd|root|fd/\d+)"
    rb"|dev/(?P<fd>fd/\d+|stdin|stdout|stderr))(?P<rest>/.*)?",
    re.DOTALL,
)
_OWN = (
    (b"/proc/self", b"/proc/%d"),
    (b"/proc/thread-self", b"/proc/%d"),
    (b"/dev/fd", b"/proc/%d/fd"),
)
_STANDARD = {b"stdin": b"fd/0", b"stdout": b"fd/1", b"stderr": b"fd/2"}


def link(name: bytes) -> bytes | None:
    """Where a magic link of /proc leads, or None: no file, a deleted one, a dead thread."""
    try:
        target = os.readlink(name)
        if not target.startswith(b"/"):
            return None  # pipe:[1], anon_inode:[eventpoll]
        if target.endswith(_DELETED) and not _is_there(name, target):
            return None
    except OSError:
        return None
    return target


def is_same_file(name: bytes, path: bytes) -> bool:
    """Whether both lead to one file."""
    try:
        return os.path.samefile(name, path)
    except OSError:
        return False


def _is_there(name: bytes, path: bytes) -> bool:
    """Whether a magic link's words are the path of its file, in our root or in the process's."""
    if is_same_file(name, path):
        return True
    with directory(name[: name.index(b"/", len(b"/proc/"))] + b"/root") as root:
        if root is None:
            return False
        try:
            fd = open_in_root(root, path, follow=False)
        except OSError:
            return False
        try:
            return os.path.samestat(os.stat(name), os.fstat(fd))
        except OSError:
            return False
        finally:
            os.close(fd)


def is_hidden(tid: int, dirfd: int, *, upwards: bool) -> bool:
    """Whether a directory that a path starts from is there, though nothing says where it is.

    Its own path is too long for readlink(2); or it was deleted, and the path leads upwards.
    """
    name = b"cwd" if dirfd == AT_FDCWD else b"fd/%d" % dirfd
    try:
        status = os.stat(b"/proc/%d/%s" % (tid, name))
    except OSError:
        return False
    return is_directory(status) and (upwards or status.st_nlink > 0)


def base_directory(tid: int, dirfd: int) -> bytes | None:
    """The directory that a relative path starts from, in the tracer's root."""
    if dirfd == AT_FDCWD:
        return link(b"/proc/%d/cwd" % tid)
    return link(b"/proc/%d/fd/%d" % (tid, dirfd))


def behind(tid: int, path: bytes) -> bytes | None:
    """The file behind /proc/self/fd/3, /proc/self/exe, /dev/stdin…, None where path is no such.

    ``self`` is the tracee.
    """
    name, rest = magic_link(path)
    target = None if name is None else link(own_view(tid, name))
    return None if target is None else join(target, rest)


def magic_link(path: bytes) -> tuple[bytes | None, bytes]:
    """The magic link that a path leads through, as /proc/WHO/LINK, and what is below it."""
    match = _MAGIC_LINK.fullmatch(path)
    if match is None:
        return None, b""
    name = match["link"] or _STANDARD.get(match["fd"], match["fd"])
    rest = (match["rest"] or b"").lstrip(b"/")
    return b"/proc/%s/%s" % (match["who"] or b"self", name), rest


def is_own_link(path: bytes) -> bool:
    """Whether the path leads through a magic link, and so elsewhere for each process and moment."""
    return path.startswith((b"/proc/", b"/dev/")) and _MAGIC_LINK.fullmatch(path) is not None


def own_view(tid: int, path: bytes) -> bytes:
    """``path`` with the tracee's own /proc/self named, for the tracer to look at."""
    if not path.startswith((b"/proc/", b"/dev/")):
        return path
    name = _STANDARD.get(path.removeprefix(b"/dev/"))
    if name is not None:
        return b"/proc/%d/%s" % (tid, name)
    for prefix, view in _OWN:
        if path == prefix or path.startswith(prefix + b"/"):
            return view % tid + path[len(prefix) :]
    return path


def relatives(tid: int) -> tuple[int, int] | None:
    """The process of a thread and that one's parent, or None when it is gone."""
    fields = _status(tid)
    return (int(fields[b"Tgid"]), int(fields[b"PPid"])) if fields else None


def owner(tid: int) -> int | None:
    """The process (thread group) of a thread, or None when it is gone."""
    fields = _status(tid)
    return int(fields[b"Tgid"]) if fields else None


def parent(tid: int) -> int | None:
    """The process that made this one, or None when it is gone."""
    fields = _status(tid)
    return int(fields[b"PPid"]) if fields else None


def tracer_of(tid: int) -> int:
    """Who traces the thread; 0 for nobody."""
    return int(_status(tid).get(b"TracerPid", 0))


def identity(tid: int) -> tuple[int, int]:
    """The effective user and group of a process; (0, 0) when it is gone."""
    fields = _status(tid)
    if not fields:
        return 0, 0
    return int(fields[b"Uid"].split()[1]), int(fields[b"Gid"].split()[1])


class Credentials(NamedTuple):
    """Who a thread is to the file system; ``capabilities`` are the effective ones, as bits."""

    uid: int
    groups: frozenset[int]
    capabilities: int


def rights(tid: int) -> Credentials:
    """What a thread may do to files (credentials(7)); nobody's rights when it is gone."""
    fields = _status(tid)
    if not fields:
        return Credentials(-1, frozenset(), 0)
    groups = (fields[b"Gid"].split()[3], *fields[b"Groups"].split())
    uid = int(fields[b"Uid"].split()[3])
    return Credentials(uid, frozenset(map(int, groups)), int(fields[b"CapEff"], 16))


def numbers(tid: int) -> tuple[int, ...]:
    """The numbers of a thread, from our PID namespace inwards (proc(5), NSpid)."""
    return tuple(map(int, _status(tid).get(b"NSpid", b"").split()))


def _status(tid: int) -> dict[bytes, bytes]:
    """The fields of /proc/TID/status; none when the thread is gone."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            return dict(line.split(b":", 1) for line in file)
    except OSError:
        return {}


def has_ended(tid: int) -> bool:
    """Whether the thread is gone, or a zombie (proc(5), stat)."""
    fields = _stat(tid)
    return not fields or fields[0] in (b"Z", b"X")


def stack(process: int) -> bytes | None:
    """Where the stack of a process begins (proc(5), stat, startstack): an exec moves it."""
    fields = _stat(process)
    return fields[_STARTSTACK - 3] if fields else None


def _stat(tid: int) -> list[bytes]:
    """The fields of /proc/TID/stat from the third on; none when the thread is gone."""
    try:
        with open(f"/proc/{tid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()
    except OSError:
        return []


def threads(process: int) -> list[int]:
    """The threads of a process, the leader first; none when it is gone."""
    try:
        return sorted(map(int, os.listdir(f"/proc/{process}/task")))
    except OSError:
        return []


def children(process: int, thread: int) -> list[int]:
    """The processes that a thread made (proc(5)); none where the kernel does not say."""
    try:
        with open(f"/proc/{process}/task/{thread}/children", "rb") as file:
            return [*map(int, file.read().split())]
    except OSError:
        return []


def open_flags(tid: int, fd: int) -> int | None:
    """The flags with which a descriptor was opened (proc(5), fdinfo); None when it is closed."""
    try:
        with open(f"/proc/{tid}/fdinfo/{fd}", "rb") as file:
            return next(int(line.split()[1], 8) for line in file if line.startswith(b"flags:"))
    except (OSError, StopIteration):
        return None


def is_on_fuse(tid: int, path: bytes) -> bool:
    """Whether the last mount on the way to ``path``, as named, is a FUSE one (proc(5), mounts)."""
    try:
        with open(f"/proc/{tid}/mounts", "rb") as file:
            mounts = [line.split(b" ")[1:3] for line in file]
    except OSError:
        return False
    nearest, kind = b"", b""
    for point, mounted in mounts:
        below = point == b"/" or (path + b"/").startswith(point + b"/")
        if below and len(point) >= len(nearest):
            nearest, kind = point, mounted
    return kind == b"fuse" or kind.startswith((b"fuse.", b"fuseblk"))


def program(tid: int) -> str:
    """The file that a process runs, or at least the name that the kernel knows it by."""
    exe = link(b"/proc/%d/exe" % tid)
    if exe is not None:
        return os.fsdecode(exe)
    try:
        with open(f"/proc/{tid}/comm", "rb") as file:
            return os.fsdecode(file.read().rstrip(b"\n"))
    except OSError:
        return "a process that is gone"


def environment(tid: int) -> dict[str, str]:
    """The variables of a process as exec left them; none when it may not be looked into."""
    try:
        with open(f"/proc/{tid}/environ", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return {}
    pairs = (os.fsdecode(word).partition("=") for word in words)
    return {name: value for name, is_set, value in pairs if is_set}


def command_line(tid: int) -> tuple[str, ...]:
    """The arguments of the process as exec left them; empty when it is gone."""
    try:
        fd = os.open(f"/proc/{tid}/cmdline", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ()
    try:
        data = os.read(fd, _ENOUGH)
        while more := len(data) % _ENOUGH == 0 and os.read(fd, _ENOUGH):
            data += more
    except OSError:
        return ()
    finally:
        os.close(fd)
    return tuple(map(os.fsdecode, data.split(b"\0")[:-1]))


def has_other_mounts(tid: int, than: str) -> bool:
    """Whether the thread has another mount namespace than a process, with the root at its top."""
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


def has_own_pids(tid: int) -> bool:
    """Whether the thread's process numbers are not the tracer's (pid_namespaces(7))."""
    try:
        return os.readlink(f"/proc/{tid}/ns/pid") != os.readlink("/proc/self/ns/pid")
    except OSError:
        return True


@contextmanager
def directory(name: bytes) -> Iterator[int | None]:
    """A descriptor of the directory behind a magic link; None when it is gone."""
    try:
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def resolve_inside(
    root: bytes, path: bytes, stat: Callable[..., os.stat_result], *, follow: bool
) -> bytes | None:
    """Where ``path`` leads with the directory behind the magic link ``root`` taken for ``/``.

    :param stat: looks at a path in the app's first root.
    :returns: the file's own path in that root; None when there is none, or when that root holds
        another file there (a mount namespace that shows other mounts).
    """
    with directory(root) as fd:
        if fd is None:
            return None
        try:
            inner = open_in_root(fd, path, follow=follow)
        except OSError:
            return None
        try:
            target = link(b"/proc/self/fd/%d" % inner)
            if target is None:
                return None
            here, there = stat(target, follow_symlinks=False), os.fstat(inner)
        except OSError:
            return None
        finally:
            os.close(inner)
    same = (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    return target if same else None


def is_directory(status: os.stat_result | None) -> bool:
    return status is not None and stat.S_ISDIR(status.st_mode)
