"""Writes an unpacked tree to disk: into a private directory, without following symlinks.

Paths are the image's, relative to a descriptor of its root, so that they can be as long as
PATH_MAX. Each of their directories is a real one: :class:`LayerTree` resolves symlinks. Owners,
attributes and devices that this user may not create are left out silently: the index has them.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from slimtrace.builder.images.unpack.owners import Owners, find_owners
from slimtrace.builder.images.unpack.tree import LayerDirectory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.images.unpack.sparse import SparseFile
    from slimtrace.builder.images.unpack.tree import Inode

_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NOT_ALLOWED_ERRNOS = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP, errno.EOVERFLOW}
_XATTR_LIMIT_ERRNOS = {errno.ENOSPC, errno.ERANGE, errno.E2BIG, errno.ENODATA}

Data = bytes | memoryview


class Disk:
    """A new tree below ``place``, an empty directory. Methods raise OSError."""

    def __init__(self, place: str) -> None:
        self._root = os.open(place, _FOLDER_FLAGS)
        self._user = (os.geteuid(), os.getegid())
        self._privileged = find_owners() is not Owners.OWN
        self._may_own = True

    def close(self) -> None:
        os.close(self._root)

    def folder(self, path: str) -> None:
        """Make a directory; :meth:`finish` sets its metadata."""
        os.mkdir(path, 0o700, dir_fd=self._root)

    def file(
        self, path: str, inode: Inode, data: Iterable[Data], sparse: SparseFile | None
    ) -> None:
        fd = os.open(path, _NEW_FILE_FLAGS, 0o600, dir_fd=self._root)
        try:
            if sparse is None:
                for piece in data:
                    _write(fd, piece)
            else:
                _write_sparse(fd, data, sparse)
            self._dress(fd, inode)
        finally:
            os.close(fd)

    def symlink(self, path: str, inode: Inode) -> None:
        os.symlink(inode.target, path, dir_fd=self._root)
        if not self._is_own(inode):
            self._own(path, inode, self._root)
        for name, value in inode.xattrs:  # there is no fsetxattr(2) for a symlink
            with suppress(OSError):
                where = f"/proc/self/fd/{self._root}/{path}"
                os.setxattr(where, name, value, follow_symlinks=False)
        os.utime(
            path, ns=(inode.mtime_ns, inode.mtime_ns), dir_fd=self._root, follow_symlinks=False
        )

    def special(self, path: str, inode: Inode, device: int) -> None:
        """Make a FIFO, or a device if this user may make one."""
        try:
            os.mknod(path, stat.S_IFMT(inode.mode) | 0o600, device, dir_fd=self._root)
        except PermissionError:
            return
        owned = self._is_own(inode) or self._own(path, inode, self._root)
        os.chmod(path, self._mode(inode, owned), dir_fd=self._root)
        os.utime(path, ns=(inode.mtime_ns, inode.mtime_ns), dir_fd=self._root)

    def link(self, old: str, new: str) -> None:
        """Make a hard link; none to a device that could not be made."""
        with suppress(FileNotFoundError):
            os.link(old, new, src_dir_fd=self._root, dst_dir_fd=self._root, follow_symlinks=False)

    def remove(self, path: str, inode: Inode) -> None:
        if isinstance(inode, LayerDirectory):
            os.rmdir(path, dir_fd=self._root)
            return
        with suppress(FileNotFoundError):
            os.unlink(path, dir_fd=self._root)

    def finish(self, folders: list[LayerDirectory]) -> None:
        """Set the directories' metadata, inner ones first: a new name changes the mtime."""
        for folder in reversed(folders):
            fd = os.open(folder.path or ".", _FOLDER_FLAGS, dir_fd=self._root)
            try:
                self._dress(fd, folder)
            finally:
                os.close(fd)

    def _dress(self, fd: int, inode: Inode) -> None:
        """Set owner, attributes, mode and times, in an order in which none resets another."""
        owned = self._is_own(inode) or self._own(fd, inode, None)
        for name, value in inode.xattrs:
            _set_xattr(fd, name, value)
        os.fchmod(fd, self._mode(inode, owned))
        os.utime(fd, ns=(inode.mtime_ns, inode.mtime_ns))

    def _is_own(self, inode: Inode) -> bool:
        return inode.uid == self._user[0] and inode.gid == self._user[1]

    def _own(self, at: int | str, inode: Inode, dir_fd: int | None) -> bool:
        if not self._may_own:
            return False
        try:
            if dir_fd is None:
                os.chown(at, inode.uid, inode.gid)
            else:
                os.chown(at, inode.uid, inode.gid, dir_fd=dir_fd, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NOT_ALLOWED_ERRNOS:
                raise
            # EINVAL: the user namespace does not map the id (user_namespaces(7)).
            self._may_own = self._privileged and error.errno != errno.EPERM
            return False
        return True

    def _mode(self, inode: Inode, owned: bool) -> int:
        # With another owner a setuid bit would give that owner's rights.
        mode = inode.mode & (0o7777 if owned else 0o1777)
        if self._privileged:
            return mode
        # A user without CAP_DAC_OVERRIDE must be able to read and remove the tree.
        return mode | (0o700 if stat.S_ISDIR(inode.mode) else 0o400)


def _set_xattr(fd: int, name: str, value: bytes) -> None:
    try:
        os.setxattr(fd, name, value)
    except OSError as error:
        if error.errno not in _NOT_ALLOWED_ERRNOS | _XATTR_LIMIT_ERRNOS:
            raise


def _write(fd: int, data: Data) -> None:
    written = os.write(fd, data)
    while written < len(data):
        data = memoryview(data)[written:]
        written = os.write(fd, data)


def _write_sparse(fd: int, data: Iterable[Data], sparse: SparseFile) -> None:
    pieces = iter(sparse.pieces)
    at = left = 0
    for piece in data:
        rest = memoryview(piece)
        while rest:
            if not left:
                at, left = next(pieces)
                os.lseek(fd, at, os.SEEK_SET)
            _write(fd, rest[:left])
            written = min(left, len(rest))
            rest, left = rest[written:], left - written
    os.ftruncate(fd, sparse.size)
