"""How the tracer looks at the app's files: in its own root, or in the root of a sandbox.

Paths are the app's: absolute in its first root, with ``/proc/self`` replaced by ``replace_self``.
"""

from __future__ import annotations

import os
import stat
from typing import Protocol

from slimtrace.tracer.kernel.openat2 import open_in_root
from slimtrace.tracer.path_resolution import LinkTarget, parent_path, walk
from slimtrace.tracer.paths import join, parent
from slimtrace.tracer.process import magic_links, procfs

_READ_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class RootView(Protocol):
    """Looks at files by their paths in the app's root.

    :ivar is_sandbox: whether the app has another root than the tracer.
    :ivar is_copy: whether that root is in the tracer's mount namespace, entered by chroot(2), and
        so has no /proc.
    """

    is_sandbox: bool
    is_copy: bool

    @property
    def grants_privileges(self) -> bool:
        """Whether an exec adds what setuid bits and file capabilities grant, as untraced."""

    def stat(self, path: bytes, *, follow_symlinks: bool = True) -> os.stat_result:
        """As os.stat."""

    def resolve_path(self, path: bytes) -> bytes:
        """The file's real path: with every symlink resolved, as far as the files exist."""

    def open(self, path: bytes) -> int:
        """A descriptor to read from.

        :raises OSError: the file cannot be opened.
        """

    def open_path(self, path: bytes) -> int:
        """An O_PATH descriptor.

        :raises OSError: there is no such file.
        """

    def read_xattr(self, path: bytes, name: str) -> bytes:
        """An extended attribute (xattr(7)).

        :raises OSError: ENODATA where it has none.
        """

    def replace_self(self, tid: int, path: bytes) -> bytes:
        """``path`` with the tracee's number in place of /proc/self, for the other methods."""

    def resolve_magic_link(self, tid: int, path: bytes) -> bytes | None:
        """The file behind /proc/self/fd/3, /dev/stdin…; None when the path is no such link."""

    def has_other_root(self, tid: int) -> bool:
        """Whether the thread's root or mount namespace is not the one the app started with."""

    def has_other_mounts(self, tid: int) -> bool:
        """Whether its mount namespace is another one, and its root is the top of it."""


def resolve_parent(view: RootView, path: bytes) -> bytes:
    """The real path of a directory entry: every symlink resolved but the last component."""
    return os.path.join(view.resolve_path(parent(path)), path[path.rfind(b"/") + 1 :])


def is_directory(status: os.stat_result | None) -> bool:
    return status is not None and stat.S_ISDIR(status.st_mode)


class HostView:
    """The app has the tracer's root and mounts."""

    is_sandbox = is_copy = False
    stat = staticmethod(os.stat)
    grants_privileges = property(lambda _: os.geteuid() == 0)
    replace_self = staticmethod(magic_links.replace_self)
    resolve_magic_link = staticmethod(magic_links.resolve_magic_link)

    def resolve_path(self, path: bytes) -> bytes:
        """A link that vanishes, and a link of /proc without a target, stay as they are."""
        try:
            return os.path.realpath(path)
        except OSError:  # before Python 3.13 also for a link that exists and cannot be read
            return resolve_parent(self, path)

    def open(self, path: bytes) -> int:
        return os.open(path, _READ_FLAGS)

    def open_path(self, path: bytes) -> int:
        return os.open(path, os.O_PATH | os.O_CLOEXEC)

    def read_xattr(self, path: bytes, name: str) -> bytes:
        return os.getxattr(path, name)

    def has_other_root(self, tid: int) -> bool:
        return procfs.has_other_root(tid, "self")

    def has_other_mounts(self, tid: int) -> bool:
        return procfs.has_other_mounts(tid, "self")


HOST_VIEW = HostView()


class SandboxView:
    """The app has a root and mounts of its own; the tracer has a descriptor of that root.

    A plain path below /proc/PID/root would follow absolute symlinks in the tracer's root. So each
    path is resolved by openat2(2) with RESOLVE_IN_ROOT.

    :param root: O_PATH descriptor of the root; this object keeps it.
    :param first: the first process with that root, by its number in our PID namespace.
    :param number: the number of the same process in the sandbox's /proc; None where that shows the
        PID namespace of its children.
    :param grants_privileges: whether setuid bits and file capabilities have their effect.
    :ivar app_pid: the app's first process, by its number in our PID namespace, once there is one.
    """

    is_sandbox = True

    def __init__(
        self,
        root: int,
        first: int,
        number: int | None,
        *,
        grants_privileges: bool,
        is_copy: bool = False,
    ) -> None:
        self.is_copy = is_copy
        self.grants_privileges = grants_privileges
        self.app_pid = first
        self._root = root
        self._first = first
        numbers = procfs.read_namespace_pids(first)
        self._depth = 0
        if number is None:
            self._depth = len(numbers)
        elif number in numbers:
            self._depth = numbers.index(number)

    def stat(self, path: bytes, *, follow_symlinks: bool = True) -> os.stat_result:
        """:raises OSError: ENOENT, ENOTDIR and the like where there is no such file."""
        link, rest = (
            magic_links.split_magic_link(path) if path.startswith(b"/proc/") else (None, b"")
        )
        if link is not None and (rest or follow_symlinks):
            target = self._target(link)
            if target is not None:
                return self.stat(join(target, rest), follow_symlinks=follow_symlinks)
            if rest:
                raise FileNotFoundError(os.fsdecode(path))
            follow_symlinks = False  # a pipe or a deleted file: it exists, but has no path
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
        """The target of a symlink that leads through /proc/self, as of a log to /dev/stdout."""
        if self._read_symlink(path) is None:
            return None
        target = self.resolve_path(path)
        return None if target == path else self.replace_self(self.app_pid, target)

    def _target(self, link: bytes) -> bytes | None:
        """The target of a magic link whose process is numbered as in the sandbox."""
        target = self._read_symlink(link)
        if target is None or not target.startswith(b"/"):
            return None
        try:
            self.stat(target)
        except OSError:
            return None
        return target

    def resolve_path(self, path: bytes) -> bytes:
        """The kernel resolves what exists; beyond that, a walk resolves links to missing files."""
        target = self._find_target(path, follow=True)
        if target is not None or path == b"/":
            return target or b"/"
        directory = self._find_target(parent(path), follow=True)
        if directory is None:
            walked = walk(os.fsdecode(path), "", parent_path, self._look)
        else:
            start = os.fsdecode(directory.rstrip(b"/"))
            name = os.fsdecode(path[path.rfind(b"/") + 1 :])
            walked = walk(name, "", parent_path, self._look, start)
        return os.fsencode("/".join([walked.node, *walked.rest]) or "/")

    def _look(self, directory: str, name: str, is_last: bool) -> str | LinkTarget:  # noqa: ARG002
        path = f"{directory}/{name}"
        target = self._read_symlink(os.fsencode(path))
        return path if target is None else LinkTarget(os.fsdecode(target))

    def _find_target(self, path: bytes, *, follow: bool) -> bytes | None:
        try:
            fd = open_in_root(self._root, path, follow=follow)
        except OSError:
            return None
        try:
            return magic_links.read_link(b"/proc/self/fd/%d" % fd)
        finally:
            os.close(fd)

    def _read_symlink(self, path: bytes) -> bytes | None:
        """The content of a symlink; None when the path is no symlink."""
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

    def open_path(self, path: bytes) -> int:
        return open_in_root(self._root, path, follow=True)

    def open(self, path: bytes) -> int:
        fd = self.open_path(path)
        try:
            return os.open(b"/proc/self/fd/%d" % fd, _READ_FLAGS)
        finally:
            os.close(fd)

    def read_xattr(self, path: bytes, name: str) -> bytes:
        fd = self.open_path(path)
        try:
            return os.getxattr(b"/proc/self/fd/%d" % fd, name)
        finally:
            os.close(fd)

    def replace_self(self, tid: int, path: bytes) -> bytes:
        if not path.startswith((b"/proc/", b"/dev/")):
            return path
        return magic_links.replace_self(self._inner_pid(tid), path)

    def resolve_magic_link(self, tid: int, path: bytes) -> bytes | None:
        link, rest = magic_links.split_magic_link(path)
        if link is None:
            return None
        link, _ = magic_links.split_magic_link(self.replace_self(tid, link))
        target = None if link is None else self._target(link)
        return None if target is None else join(target, rest)

    def _inner_pid(self, tid: int) -> int:
        """The number of a thread in the sandbox's /proc; 0 when it is gone."""
        numbers = procfs.read_namespace_pids(tid)
        return numbers[self._depth] if self._depth < len(numbers) else 0

    def has_other_root(self, tid: int) -> bool:
        return procfs.has_other_root(tid, str(self._first))

    def has_other_mounts(self, tid: int) -> bool:
        return procfs.has_other_mounts(tid, str(self._first))
