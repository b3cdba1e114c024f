"""Which arguments of each call are paths, and what the call does to them.

Arguments are numbered from 0, in the order of the call's man page (section 2). A call has the same
arguments on every architecture; only its number differs (abi).
"""

from __future__ import annotations

import os
from enum import Enum, auto
from typing import NamedTuple

from slimtrace.tracer.trace.trace import Use

AT_FDCWD = -100
AT_SYMLINK_NOFOLLOW = 0x100
AT_REMOVEDIR = 0x200
AT_SYMLINK_FOLLOW = 0x400
AT_EMPTY_PATH = 0x1000

O_ACCMODE = 0o3
O_CREAT = 0o100
O_EXCL = 0o200
O_TRUNC = 0o1000
O_PATH = 0o10000000

CLONE_NEW = 0x7E020000
"""Every flag by which clone(2) makes a namespace."""


class CallMeaning(Enum):
    """Calls of one meaning are decoded by one function (decode)."""

    PLAIN = auto()
    """Each path is touched as its PathArgument says."""
    OPEN = auto()
    OPENAT2 = auto()
    EXEC = auto()
    RENAME = auto()
    SOCKADDR = auto()
    LISTEN = auto()
    SEND = auto()
    """sendto: a datagram for an address, which may be a path."""
    SOCKETCALL = auto()
    OWN_ROOT = auto()
    """The caller changes how its paths resolve: chroot, mount, namespaces."""
    OWN_FILTER = auto()
    """seccomp and prctl: the caller's own filters and listeners."""
    OWN_TRACER = auto()
    RING = auto()
    """io_uring: opens through a ring cannot be seen, so it is refused."""
    EXIT = auto()
    """exit and exit_group: the exit status of a process image."""
    SOCKET = auto()
    """socket: the address family is noted."""
    NAMESPACES = auto()
    """clone with flags that make namespaces, which are noted."""
    BIRTH = auto()
    """clone and clone3: a child may be kept from our ptrace."""
    REAPER = auto()
    """prctl: a process becomes the parent of the orphans among its descendants."""
    HANDLER = auto()
    """rt_sigaction: a handler that is not restarted may turn a stopped call into EINTR."""
    NOTED = auto()
    """Only for the list of system calls."""


class Follow(Enum):
    """Whether a symlink in the last component is followed (path_resolution(7))."""

    YES = auto()
    NO = auto()
    UNLESS_NOFOLLOW = auto()
    """By AT_SYMLINK_NOFOLLOW in the flags."""
    IF_FOLLOW = auto()
    """By AT_SYMLINK_FOLLOW in the flags."""


class PathArgument(NamedTuple):
    """One path of a call: the directory descriptor it starts from, and what is done to it.

    :ivar path: the argument's number, or None when the call names a file by ``dirfd`` alone.
    :ivar dirfd: the argument's number, or None when the path starts from the cwd.
    """

    use: Use
    path: int | None
    dirfd: int | None = None
    follow: Follow = Follow.YES


class Signature(NamedTuple):
    """How to read one call.

    :ivar flags: number of the argument that changes what the call means, or None.
    :ivar telling: the bits of it that do.
    """

    meaning: CallMeaning
    paths: tuple[PathArgument, ...] = ()
    flags: int | None = None
    telling: int = 0


_AT_FLAGS = AT_SYMLINK_NOFOLLOW | AT_REMOVEDIR | AT_SYMLINK_FOLLOW | AT_EMPTY_PATH
_OPEN_FLAGS = 0xFFFFFFFF & ~(os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOATIME)
"""All but these four, which change nothing here; their values differ by architecture."""


def _one(
    use: Use, path: int = 0, dirfd: int | None = None, follow: Follow = Follow.YES
) -> Signature:
    return Signature(CallMeaning.PLAIN, (PathArgument(use, path, dirfd, follow),))


def _at(use: Use, flags: int | None, follow: Follow = Follow.UNLESS_NOFOLLOW) -> Signature:
    argument = PathArgument(use, 1, 0, Follow.YES if flags is None else follow)
    return Signature(CallMeaning.PLAIN, (argument,), flags, _AT_FLAGS)


def _fd(use: Use, argument: int = 0) -> Signature:
    return Signature(CallMeaning.PLAIN, (PathArgument(use, None, argument),))


def _make(path: int, dirfd: int | None = None) -> Signature:
    return _one(Use.CREATE, path, dirfd, Follow.NO)


def _two(
    meaning: CallMeaning, first: PathArgument, second: PathArgument, **flags: int
) -> Signature:
    return Signature(meaning, (first, second), **flags)


def _rename(old: int, new: int, old_dir: int | None, new_dir: int | None, **f: int) -> Signature:
    return _two(
        CallMeaning.RENAME,
        PathArgument(Use.DELETE, old, old_dir, Follow.NO),
        PathArgument(Use.CREATE, new, new_dir, Follow.NO),
        **f,
    )


def _link(
    old: int, new: int, old_dir: int | None = None, new_dir: int | None = None, **f: int
) -> Signature:
    follow = Follow.IF_FOLLOW if f else Follow.NO
    return _two(
        CallMeaning.PLAIN,
        PathArgument(Use.STAT, old, old_dir, follow),
        PathArgument(Use.CREATE, new, new_dir, Follow.NO),
        **f,
    )


def _root(*paths: PathArgument) -> Signature:
    return Signature(CallMeaning.OWN_ROOT, paths)


_STAT, _ATTR = Use.STAT, Use.ATTR
_no_follow = Follow.NO

NARROW_SIGNATURES = {
    # its 64-bit mask takes two arguments there
    "fanotify_mark": _one(_STAT, 5, 4),
}
"""Calls with other arguments in 32-bit ABIs."""

SIGNATURES: dict[str, Signature] = {
    # open: what is done follows from the flags
    "open": Signature(CallMeaning.OPEN, (PathArgument(Use.READ, 0),), 1, _OPEN_FLAGS),
    "openat": Signature(CallMeaning.OPEN, (PathArgument(Use.READ, 1, 0),), 2, _OPEN_FLAGS),
    "openat2": Signature(CallMeaning.OPENAT2, (PathArgument(Use.READ, 1, 0),)),
    "creat": Signature(CallMeaning.OPEN, (PathArgument(Use.WRITE, 0),)),
    "open_tree": _at(Use.STAT, 2),
    "open_tree_attr": _at(Use.STAT, 2),
    "uselib": _one(Use.READ),
    "acct": _one(Use.WRITE),
    "swapon": _one(Use.WRITE),
    "swapoff": _one(Use.WRITE),
    "mq_open": Signature(CallMeaning.NOTED),
    "mq_unlink": Signature(CallMeaning.NOTED),
    # exec
    "execve": Signature(CallMeaning.EXEC, (PathArgument(Use.EXEC, 0),)),
    "execveat": Signature(CallMeaning.EXEC, (PathArgument(Use.EXEC, 1, 0),), 4, _AT_FLAGS),
    # stat and its kin
    **dict.fromkeys(("stat", "stat64", "oldstat", "access", "statfs", "statfs64"), _one(_STAT)),
    **dict.fromkeys(("lstat", "lstat64", "oldlstat"), _one(_STAT, follow=_no_follow)),
    "newfstatat": _at(_STAT, 3),
    "fstatat64": _at(_STAT, 3),
    "statx": _at(_STAT, 2),
    "faccessat": _at(_STAT, None),
    "faccessat2": _at(_STAT, 3),
    "getxattr": _one(_STAT),
    "listxattr": _one(_STAT),
    "lgetxattr": _one(_STAT, follow=_no_follow),
    "llistxattr": _one(_STAT, follow=_no_follow),
    "getxattrat": _at(_STAT, 2),
    "listxattrat": _at(_STAT, 2),
    "file_getattr": _at(_STAT, 4),
    "name_to_handle_at": _at(_STAT, 4, Follow.IF_FOLLOW),
    "inotify_add_watch": _one(_STAT, 1),
    "fanotify_mark": _one(_STAT, 4, 3),
    "quotactl": _one(_STAT, 1),
    "readlink": _one(Use.READLINK, follow=_no_follow),
    "readlinkat": _one(Use.READLINK, 1, 0, _no_follow),
    # attributes
    **dict.fromkeys(("chmod", "chown", "chown32", "utime", "utimes"), _one(_ATTR)),
    **dict.fromkeys(("lchown", "lchown32"), _one(_ATTR, follow=_no_follow)),
    **dict.fromkeys(("fchmod", "fchown", "fchown32", "fsetxattr", "fremovexattr"), _fd(_ATTR)),
    "fchmodat": _at(_ATTR, None),
    "fchmodat2": _at(_ATTR, 3),
    "fchownat": _at(_ATTR, 4),
    "futimesat": _at(_ATTR, None),
    "utimensat": _at(_ATTR, 3),
    "utimensat_time64": _at(_ATTR, 3),
    "setxattr": _one(_ATTR),
    "removexattr": _one(_ATTR),
    "lsetxattr": _one(_ATTR, follow=_no_follow),
    "lremovexattr": _one(_ATTR, follow=_no_follow),
    "setxattrat": _at(_ATTR, 2),
    "removexattrat": _at(_ATTR, 2),
    "file_setattr": _at(_ATTR, 4),
    # contents and names
    "truncate": _one(Use.WRITE),
    "truncate64": _one(Use.WRITE),
    "mkdir": _make(0),
    "mkdirat": _make(1, 0),
    "mknod": _make(0),
    "mknodat": _make(1, 0),
    "symlink": _make(1),
    "symlinkat": _make(2, 1),
    "link": _link(0, 1),
    "linkat": _link(1, 3, 0, 2, flags=4, telling=_AT_FLAGS),
    "unlink": _one(Use.DELETE, follow=_no_follow),
    "unlinkat": _one(Use.DELETE, 1, 0, _no_follow),
    "rmdir": _one(Use.DELETE, follow=_no_follow),
    "rename": _rename(0, 1, None, None),
    "renameat": _rename(1, 3, 0, 2),
    "renameat2": _rename(1, 3, 0, 2, flags=4, telling=0x7),
    # sockets of the file system, and ports
    "bind": Signature(CallMeaning.SOCKADDR, (PathArgument(Use.CREATE, None),)),
    "connect": Signature(CallMeaning.SOCKADDR, (PathArgument(Use.CONNECT, None),)),
    "listen": Signature(CallMeaning.LISTEN),
    "socket": Signature(CallMeaning.SOCKET),
    "socketcall": Signature(CallMeaning.SOCKETCALL),
    # where paths start
    "chdir": _one(Use.CHDIR),
    "fchdir": _fd(Use.CHDIR),
    "chroot": _root(PathArgument(Use.CHDIR, 0)),
    "pivot_root": _root(PathArgument(_STAT, 0), PathArgument(_STAT, 1)),
    "mount": _root(PathArgument(_STAT, 1)),
    "umount": _root(PathArgument(_STAT, 0)),
    "umount2": _root(PathArgument(_STAT, 0)),
    "move_mount": _root(PathArgument(_STAT, 1, 0), PathArgument(_STAT, 3, 2)),
    "mount_setattr": _root(PathArgument(_STAT, 1, 0)),
    "fspick": _root(PathArgument(_STAT, 1, 0)),
    **dict.fromkeys(("unshare", "setns", "fsmount", "fsopen", "fsconfig"), _root()),
    # what hides calls from a tracer
    "seccomp": Signature(CallMeaning.OWN_FILTER),
    "ptrace": Signature(CallMeaning.OWN_TRACER),
    **dict.fromkeys(
        ("io_uring_setup", "io_uring_enter", "io_uring_register"), Signature(CallMeaning.RING)
    ),
    "open_by_handle_at": Signature(CallMeaning.NOTED),
}
"""Every call that is stopped for what it means; a call that is only noted is not here."""

HANDLER = Signature(CallMeaning.HANDLER)
BIRTH = Signature(CallMeaning.BIRTH)
NAMESPACES = Signature(CallMeaning.NAMESPACES)
EXIT = Signature(CallMeaning.EXIT)
REAPER = Signature(CallMeaning.REAPER)
SEND = Signature(CallMeaning.SEND, (PathArgument(Use.CONNECT, None),))
"""What some engines stop as well: calls that every program makes, and that are hot otherwise."""
