"""Links of /proc that lead to a process's files: exe, cwd, root and fd/N (proc(5)).

The kernel follows them without a path, so they are called magic links. They also say where the
relative paths of a thread start.
"""

from __future__ import annotations

import os
import re
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.openat2 import open_in_root
from slimtrace.tracer.paths import join
from slimtrace.tracer.syscalls.table import AT_FDCWD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DELETED = b" (deleted)"
_MAGIC_LINK = re.compile(
    rb"/(?:proc/(?P<process>self|thread-self|\d+(?:/task/\d+)?)/(?P<link>exe|cwd|root|fd/\d+)"
    rb"|dev/(?P<fd>fd/\d+|stdin|stdout|stderr))(?P<rest>/.*)?",
    re.DOTALL,
)
_SELF_PREFIXES = (
    (b"/proc/self", b"/proc/%d"),
    (b"/proc/thread-self", b"/proc/%d"),
    (b"/dev/fd", b"/proc/%d/fd"),
)
_STANDARD_STREAMS = {b"stdin": b"fd/0", b"stdout": b"fd/1", b"stderr": b"fd/2"}


_root_prefix = b""


def set_root_prefix(prefix: bytes) -> None:
    """Set where the app's root is in ours, if it has one by chroot(2) in our mount namespace.

    There the kernel shows paths of the app's files as they are in our root. In a mount namespace of
    its own it shows them as the app sees them.
    """
    global _root_prefix  # noqa: PLW0603 -- as the kernel's answers: of all links
    _root_prefix = prefix


def read_link(name: bytes) -> bytes | None:
    """The path of the file behind a magic link.

    None when it is not a file with a path, when the file was deleted, or the thread is gone.
    """
    try:
        target = os.readlink(name)
        if not target.startswith(b"/"):
            return None  # pipe:[1], anon_inode:[eventpoll]
        if target.endswith(_DELETED) and not _points_to(name, target):
            return None
    except OSError:
        return None
    if _root_prefix and (target + b"/").startswith(_root_prefix + b"/"):
        return target[len(_root_prefix) :] or b"/"
    return target


def is_same_file(name: bytes, path: bytes) -> bool:
    """Whether both lead to one file."""
    try:
        return os.path.samefile(name, path)
    except OSError:
        return False


def _points_to(name: bytes, path: bytes) -> bool:
    """Whether the file behind a magic link is at ``path``, in our root or in the process's root."""
    if is_same_file(name, path):
        return True
    with open_directory(name[: name.index(b"/", len(b"/proc/"))] + b"/root") as root:
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


def is_hidden_directory(tid: int, dirfd: int, *, upwards: bool) -> bool:
    """Whether the directory that a path starts from exists, but has no path that can be read.

    Its path is too long for readlink(2); or it was deleted, and the path leads upwards.
    """
    name = b"cwd" if dirfd == AT_FDCWD else b"fd/%d" % dirfd
    try:
        status = os.stat(b"/proc/%d/%s" % (tid, name))
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and (upwards or status.st_nlink > 0)


def read_base_directory(tid: int, dirfd: int) -> bytes | None:
    """The directory that a relative path starts from, as a path in the tracer's root."""
    if dirfd == AT_FDCWD:
        return read_link(b"/proc/%d/cwd" % tid)
    return read_link(b"/proc/%d/fd/%d" % (tid, dirfd))


def resolve_magic_link(tid: int, path: bytes) -> bytes | None:
    """The file behind a path as /proc/self/fd/3, /proc/self/exe or /dev/stdin.

    ``self`` is the tracee. None when the path leads through no magic link.
    """
    name, rest = split_magic_link(path)
    target = None if name is None else read_link(replace_self(tid, name))
    return None if target is None else join(target, rest)


def split_magic_link(path: bytes) -> tuple[bytes | None, bytes]:
    """The magic link that a path leads through, as /proc/PROCESS/LINK, and the rest of the path."""
    match = _MAGIC_LINK.fullmatch(path)
    if match is None:
        return None, b""
    name = match["link"] or _STANDARD_STREAMS.get(match["fd"], match["fd"])
    rest = (match["rest"] or b"").lstrip(b"/")
    return b"/proc/%s/%s" % (match["process"] or b"self", name), rest


def is_magic_link(path: bytes) -> bool:
    """Whether the path leads through a magic link: its target differs by process and time."""
    return path.startswith((b"/proc/", b"/dev/")) and _MAGIC_LINK.fullmatch(path) is not None


def replace_self(tid: int, path: bytes) -> bytes:
    """``path`` with the tracee's number in place of ``self``, so that the tracer can look at it."""
    if not path.startswith((b"/proc/", b"/dev/")):
        return path
    name = _STANDARD_STREAMS.get(path.removeprefix(b"/dev/"))
    if name is not None:
        return b"/proc/%d/%s" % (tid, name)
    for prefix, replacement in _SELF_PREFIXES:
        if path == prefix or path.startswith(prefix + b"/"):
            return replacement % tid + path[len(prefix) :]
    return path


@contextmanager
def open_directory(name: bytes) -> Iterator[int | None]:
    """An O_PATH descriptor of the directory behind a magic link; None when it is gone."""
    try:
        fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        yield None
        return
    try:
        yield fd
    finally:
        os.close(fd)


def resolve_in_root(
    root: bytes, path: bytes, stat: Callable[..., os.stat_result], *, follow: bool
) -> bytes | None:
    """Resolve ``path`` with the directory behind the magic link ``root`` as ``/``.

    :param stat: returns the status of a path in the app's first root.
    :returns: the file's real path in that root; None when there is no such file, or when the
        app's first root has another file at that path (a mount namespace with other mounts).
    """
    with open_directory(root) as fd:
        if fd is None:
            return None
        try:
            inner = open_in_root(fd, path, follow=follow)
        except OSError:
            return None
        try:
            target = read_link(b"/proc/self/fd/%d" % inner)
            if target is None:
                return None
            here, there = stat(target, follow_symlinks=False), os.fstat(inner)
        except OSError:
            return None
        finally:
            os.close(inner)
    same = (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)
    return target if same else None
