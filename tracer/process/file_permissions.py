"""Predicts whether the kernel lets a thread change or read a file.

The result of a call is not known when it is recorded: a seccomp notification is answered before the
kernel executes it. So the rules of inode(7), path_resolution(7) and capabilities(7) are applied
here. What only the kernel knows (security modules, quotas, two mounts of one file system) is not
predicted: such a call counts as if it had succeeded.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from slimtrace.tracer.process import procfs

if TYPE_CHECKING:
    from slimtrace.tracer.process.procfs import Credentials
    from slimtrace.tracer.process.root_view import RootView

# linux/capability.h
_CAP_CHOWN, _CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH, _CAP_FOWNER = (1 << bit for bit in range(4))
_ST_RDONLY = 1  # statvfs(3)
_READ, _WRITE, _SEARCH = 4, 2, 1
_CREATE = _WRITE | _SEARCH


class Permissions:
    """The rights of an app's threads.

    :ivar own_credentials: whether threads may have other credentials, roots or mounts than the
        tracer. As long as they have the same, the kernel can be asked, which is much faster.
    """

    def __init__(self, view: RootView) -> None:
        self._view = view
        self.own_credentials = view.is_sandbox

    def can_read(self, tid: int, path: bytes) -> bool:
        """Whether a thread may read a file; True if that is not known."""
        return self._may(tid, path, _READ, unknown=True)

    def can_write(self, tid: int, path: bytes) -> bool:
        """Whether a thread may write to a file; True if that is not known."""
        return self._may(tid, path, _WRITE, unknown=True)

    def can_create_in(self, tid: int, directory: bytes) -> bool:
        """Whether a thread may create a name in a directory."""
        return self._may(tid, directory, _CREATE, unknown=False)

    def can_delete(self, tid: int, directory: bytes, victim: os.stat_result) -> bool:
        """Whether a thread may delete or rename a file in a directory; True if not known.

        In a sticky directory only the owner of the file or of the directory may (inode(7)).
        """
        if not self._may(tid, directory, _CREATE, unknown=True):
            return False
        try:
            folder = self._view.stat(directory)
        except OSError:
            return True
        if not folder.st_mode & stat.S_ISVTX:
            return True
        credentials = self._read_credentials(tid)
        is_owner = credentials.uid in (victim.st_uid, folder.st_uid)
        return is_owner or bool(credentials.capabilities & _CAP_FOWNER)

    def can_change_attributes(
        self, tid: int, path: bytes, status: os.stat_result, call: str
    ) -> bool:
        """Whether a thread may change mode, owner, times or attributes of a file (chmod(2), …)."""
        if self._is_read_only(path):
            return False
        if "xattr" in call:
            return self.can_write(tid, path)
        credentials = self._read_credentials(tid)
        if credentials.uid == status.st_uid or credentials.capabilities & _CAP_FOWNER:
            return True
        if "chown" in call:
            return bool(credentials.capabilities & _CAP_CHOWN)
        return "chmod" not in call and self.can_write(tid, path)

    def is_empty(self, directory: bytes) -> bool:
        """Whether a directory has no entries; True if it cannot be read."""
        try:
            fd = self._view.open(directory)
        except OSError:
            return True
        try:
            with os.scandir(fd) as entries:
                return next(entries, None) is None
        except OSError:
            return True
        finally:
            os.close(fd)

    def is_same_file_system(self, one: bytes, other: bytes) -> bool:
        """Whether names in these directories may be exchanged (rename(2), EXDEV)."""
        try:
            return self._view.stat(one).st_dev == self._view.stat(other).st_dev
        except OSError:
            return True

    def _read_credentials(self, tid: int) -> Credentials:
        return procfs.read_credentials(tid if self.own_credentials else os.getpid())

    def _may(self, tid: int, path: bytes, rights: int, *, unknown: bool) -> bool:
        if not self.own_credentials:
            return os.access(path, rights)  # the numbers of R_OK, W_OK and X_OK (access(2))
        try:
            fd = self._view.open_path(path)
        except OSError:  # it leads to a magic link, as /dev/stdout does, or is in another mount
            return unknown
        try:
            return self._may_use(tid, fd, rights) or _has_acl(fd)
        except OSError:
            return unknown
        finally:
            os.close(fd)

    def _may_use(self, tid: int, fd: int, rights: int) -> bool:
        """By mode, owner, capabilities and mount.

        :raises OSError: the file system does not answer.
        """
        status = os.fstat(fd)
        if rights & _WRITE and os.fstatvfs(fd).f_flag & _ST_RDONLY:
            return False
        credentials = self._read_credentials(tid)
        shift = 0
        if credentials.uid == status.st_uid:
            shift = 6
        elif status.st_gid in credentials.groups:
            shift = 3
        overriding = _CAP_DAC_OVERRIDE | (_CAP_DAC_READ_SEARCH if rights == _READ else 0)
        is_allowed = status.st_mode >> shift & rights == rights
        return is_allowed or bool(credentials.capabilities & overriding)

    def _is_read_only(self, path: bytes) -> bool:
        try:
            fd = self._view.open_path(path)
        except OSError:
            return False
        try:
            return bool(os.fstatvfs(fd).f_flag & _ST_RDONLY)
        except OSError:
            return False
        finally:
            os.close(fd)


def _has_acl(fd: int) -> bool:
    """Whether an access control list may give more rights than the mode (acl(5))."""
    try:
        os.getxattr(f"/proc/self/fd/{fd}", "system.posix_acl_access")
    except OSError as error:
        return error.errno not in (errno.ENODATA, errno.ENOTSUP)
    return True
