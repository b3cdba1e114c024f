"""How the tracer looks at the app's files: in its own root, or in the root that the app has.

Paths are the app's, absolute in its first root, ``/proc/self`` replaced by ``own_view``.
"""

from __future__ import annotations

import os
from typing import Protocol

from slimtrace.tracer.kernel.openat2 import open_in_root
from slimtrace.tracer.paths import join, parent
from slimtrace.tracer.process import procfs

_MOST_LINKS = 40  # MAXSYMLINKS (path_resolution(7))
_CAP_DAC_OVERRIDE = 1 << 1  # linux/capability.h
_ST_RDONLY = 1  # statvfs(3)
_TO_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class View(Protocol):
    """What there is to ask of a path.

    :ivar is_inside: whether the app has another root than the tracer.
    """

    is_inside: bool

    def stat(self, path: bytes, *, follow_symlinks: bool = True) -> os.stat_result:
        """As os.stat."""

    def own_path(self, path: bytes) -> bytes:
        """The file's own path: every symlink resolved, as far as there are files."""

    def open(self, path: bytes) -> int:
        """A descriptor to read from, of whatever lies there.

        :raises OSError: it cannot be opened.
        """

    def entry(self, path: bytes) -> int:
        """An O_PATH descriptor of whatever lies there.

        :raises OSError: nothing does.
        """

    def attribute(self, path: bytes, name: str) -> bytes:
        """An extended attribute (xattr(7)).

        :raises OSError: ENODATA where it has none.
        """

    def may_make_in(self, tid: int, directory: bytes) -> bool:
        """Whether a thread may make a file in a directory."""

    def own_view(self, tid: int, path: bytes) -> bytes:
        """``path`` with the tracee's own /proc/self named, to be looked at."""

    def behind(self, tid: int, path: bytes) -> bytes | None:
        """The file behind /proc/self/fd/3, /dev/stdin…, None where path is no such."""

    def has_own_root(self, tid: int) -> bool:
        """Whether the thread's root or mount namespace is not the one that the app began with."""

    def has_own_mounts(self, tid: int) -> bool:
        """Whether its mount namespace is another, with the root at its top."""


def own_name(view: View, path: bytes) -> bytes:
    """The own path of a directory entry: every symlink resolved but the last component's."""
    return os.path.join(view.own_path(parent(path)), path[path.rfind(b"/") + 1 :])


class HostView:
    """The app has the tracer's root and mounts."""

    is_inside = False
    stat = staticmethod(os.stat)
    own_view = staticmethod(procfs.own_view)
    behind = staticmethod(procfs.behind)

    def own_path(self, path: bytes) -> bytes:
        """A link that vanishes, and one of /proc that leads nowhere, stands for itself."""
        try:
            return os.path.realpath(path)
        except OSError:  # before Python 3.13 also of a link that was there and cannot be read
            return own_name(self, path)

    def open(self, path: bytes) -> int:
        return os.open(path, _TO_READ)

    def entry(self, path: bytes) -> int:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)

    def attribute(self, path: bytes, name: str) -> bytes:
        return os.getxattr(path, name)

    def may_make_in(self, tid: int, directory: bytes) -> bool:  # noqa: ARG002 -- it is our user
        return os.access(directory, os.W_OK)

    def has_own_root(self, tid: int) -> bool:
        return procfs.has_other_root(tid, "self")

    def has_own_mounts(self, tid: int) -> bool:
        return procfs.has_other_mounts(tid, "self")


HERE = HostView()


class SandboxView:
    """The app has a root and mounts of its own, of which the tracer holds a descriptor.

    A plain path below /proc/PID/root would follow absolute symlinks in the tracer's root: each
    is resolved by openat2(2) with RESOLVE_IN_ROOT.

    :param root: O_PATH descriptor of the root, which is kept.
    :param first: the process that the root is the root of, by its number outside.
    :param number: the same process, as its /proc numbers it.
    """

    is_inside = True

    def __init__(self, root: int, first: int, number: int) -> None:
        self._root = root
        self._first = first
        numbers = procfs.numbers(first)
        self._depth = numbers.index(number) if number in numbers else 0

    def stat(self, path: bytes, *, follow_symlinks: bool = True) -> os.stat_result:
        """:raises OSError: ENOENT and its kin where the path does not lead anywhere."""
        link, rest = procfs.magic_link(path) if path.startswith(b"/proc/") else (None, b"")
        if link is not None and (rest or follow_symlinks):
            target = self._target(link)
            if target is not None:
                return self.stat(join(target, rest), follow_symlinks=follow_symlinks)
            if rest:
                raise FileNotFoundError(os.fsdecode(path))
            follow_symlinks = False  # a pipe, or a deleted file: that it is there can be said
        try:
            fd = open_in_root(self._root, path, follow=follow_symlinks)
        except OSError:
            if follow_symlinks and (target := self._through_magic(path)) is not None:
                return self.stat(target)
            raise
        try:
            return os.fstat(fd)
        finally:
            os.close(fd)

    def _through_magic(self, path: bytes) -> bytes | None:
        """Where a symlink leads by way of /proc/self: of a log to /dev/stdout, for one."""
        if self._link(path) is None:
            return None
        target = self.own_path(path)
        return None if target == path else self.own_view(self._first, target)

    def _target(self, link: bytes) -> bytes | None:
        """Where a magic link leads that is named by the inner number of a process."""
        target = self._link(link)
        if target is None or not target.startswith(b"/"):
            return None
        try:
            self.stat(target)
        except OSError:
            return None
        return target

    def own_path(self, path: bytes) -> bytes:
        return self._own_path(path, _MOST_LINKS)

    def _own_path(self, path: bytes, links: int) -> bytes:
        found = self._leads_to(path, follow=True)
        if found is not None or path == b"/":
            return found or b"/"
        head, name = self._own_path(parent(path), links), path[path.rfind(b"/") + 1 :]
        if name == b"..":
            return parent(head)
        entry = join(head, name)
        target = self._link(entry) if links else None
        return entry if target is None else self._own_path(join(head, target), links - 1)

    def _leads_to(self, path: bytes, *, follow: bool) -> bytes | None:
        try:
            fd = open_in_root(self._root, path, follow=follow)
        except OSError:
            return None
        try:
            return procfs.link(b"/proc/self/fd/%d" % fd)
        finally:
            os.close(fd)

    def _link(self, path: bytes) -> bytes | None:
        """What a symlink says; None where there is none."""
        try:
            fd = open_in_root(self._root, path, follow=False)
        except OSError:
            return None
        try:
            return os.readlink(b"", dir_fd=fd)
        except OSError:
            return None
        finally:
            os.close(fd)

    def entry(self, path: bytes) -> int:
        return open_in_root(self._root, path, follow=True)

    def open(self, path: bytes) -> int:
        fd = self.entry(path)
        try:
            return os.open(b"/proc/self/fd/%d" % fd, _TO_READ)
        finally:
            os.close(fd)

    def attribute(self, path: bytes, name: str) -> bytes:
        fd = self.entry(path)
        try:
            return os.getxattr(b"/proc/self/fd/%d" % fd, name)
        finally:
            os.close(fd)

    def may_make_in(self, tid: int, directory: bytes) -> bool:
        """By mode, owner and capabilities: the tracer may be somebody else, so it cannot try."""
        try:
            fd = open_in_root(self._root, directory, follow=True)
        except OSError:
            return False
        try:
            status, mount = os.fstat(fd), os.fstatvfs(fd)
        except OSError:
            return False
        finally:
            os.close(fd)
        if mount.f_flag & _ST_RDONLY:
            return False
        rights = procfs.rights(tid)
        needed = 0o002
        if rights.uid == status.st_uid:
            needed = 0o200
        elif status.st_gid in rights.groups:
            needed = 0o020
        return bool(rights.capabilities & _CAP_DAC_OVERRIDE or status.st_mode & needed)

    def own_view(self, tid: int, path: bytes) -> bytes:
        if not path.startswith((b"/proc/", b"/dev/")):
            return path
        return procfs.own_view(self._inner(tid), path)

    def behind(self, tid: int, path: bytes) -> bytes | None:
        link, rest = procfs.magic_link(path)
        if link is None:
            return None
        link, _ = procfs.magic_link(self.own_view(tid, link))
        target = None if link is None else self._target(link)
        return None if target is None else join(target, rest)

    def _inner(self, tid: int) -> int:
        """The number of a thread in the app's /proc; of one that is gone, none that there is."""
        numbers = procfs.numbers(tid)
        return numbers[self._depth] if self._depth < len(numbers) else 0

    def has_own_root(self, tid: int) -> bool:
        return procfs.has_other_root(tid, str(self._first))

    def has_own_mounts(self, tid: int) -> bool:
        return procfs.has_other_mounts(tid, str(self._first))
