"""Predicts which calls on files the kernel refuses: they change nothing and read nothing."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from slimtrace.tracer.paths import KERNELS, parent
from slimtrace.tracer.process.root_view import is_directory
from slimtrace.tracer.syscalls.table import AT_REMOVEDIR
from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.process.file_permissions import Permissions
    from slimtrace.tracer.trace.trace import PathState

RENAME_NOREPLACE, RENAME_EXCHANGE = 1, 2
_READING = (Use.READ, Use.LIST)


class Refusals:
    """Knows what the kernel refuses, by the caller's rights and by what is at the paths.

    Below /proc, /dev and /sys nothing is predicted: rights there are not those of the mode.
    """

    def __init__(self, permissions: Permissions) -> None:
        self._permissions = permissions

    def refuses_read(self, tid: int, use: Use, place: PathState) -> bool:
        """Whether an open for reading fails. Almost all files everybody may read: this is fast."""
        status = place.status
        if status is None or status.st_mode & stat.S_IROTH or use not in _READING:
            return False
        is_kernels = place.path.startswith(KERNELS)
        return not (is_kernels or self._permissions.can_read(tid, place.path))

    def refuses_write(self, tid: int, place: PathState) -> bool:
        """Whether an open for writing, or truncate, of a file fails."""
        if place.status is None or place.path.startswith(KERNELS) or is_directory(place.status):
            return False
        return not self._permissions.can_write(tid, place.path)

    def refuses_change(self, stop: StoppedCall, use: Use, place: PathState) -> bool:
        """Whether a call that writes to a file, deletes it or changes its attributes fails."""
        status = place.status
        if status is None or place.path.startswith(KERNELS):
            return False
        match use:
            case Use.WRITE:
                return self.refuses_write(stop.tid, place)
            case Use.ATTR:
                name = stop.call.name
                may_change = self._permissions.can_change_attributes
                return not may_change(stop.tid, place.path, status, name)
            case Use.DELETE:
                return self._refuses_delete(stop, place, status)
        return False

    def _refuses_delete(self, stop: StoppedCall, place: PathState, status: os.stat_result) -> bool:
        is_rmdir = stop.call.name == "rmdir" or _removes_directory(stop)
        if is_directory(status) != is_rmdir:
            return True  # EISDIR, ENOTDIR
        if not self._permissions.can_delete(stop.tid, parent(place.path), status):
            return True
        return is_rmdir and not self._permissions.is_empty(place.path)

    def refuses_rename(self, tid: int, old: PathState, new: PathState, flags: int) -> bool:
        """Whether a rename fails or, of two names of one file, does nothing (rename(2))."""
        exchange = bool(flags & RENAME_EXCHANGE)
        if old.status is None or old.path.startswith(KERNELS) or new.path.startswith(KERNELS):
            return False
        if is_directory(old.status) and new.path.startswith(old.path + b"/"):
            return True  # EINVAL
        if new.status is None:
            may_create = self._permissions.can_create_in(tid, parent(new.path))
            if exchange or not may_create:
                return True
        elif self._refuses_target(old.status, new, new.status, flags):
            return True
        return self._refuses_move(tid, old, new)

    def _refuses_target(
        self, old: os.stat_result, new: PathState, status: os.stat_result, flags: int
    ) -> bool:
        """Whether what is at the new path forbids the rename."""
        if flags & RENAME_NOREPLACE or os.path.samestat(old, status):
            return True
        if flags & RENAME_EXCHANGE:
            return False
        if is_directory(old) != is_directory(status):
            return True  # EISDIR, ENOTDIR
        return is_directory(status) and not self._permissions.is_empty(new.path)

    def _refuses_move(self, tid: int, old: PathState, new: PathState) -> bool:
        """Whether the caller may not take the names away, or they are on two file systems."""
        folder, new_folder = parent(old.path), parent(new.path)
        for place, above in ((old, folder), (new, new_folder)):
            if place.status is not None:
                if not self._permissions.can_delete(tid, above, place.status):
                    return True
                # A directory that moves to another one gets another "..".
                is_moved = is_directory(place.status) and folder != new_folder
                if is_moved and not self._permissions.can_write(tid, place.path):
                    return True
        return not self._permissions.is_same_file_system(folder, new_folder)


def _removes_directory(stop: StoppedCall) -> bool:
    return stop.call.name == "unlinkat" and bool(stop.args[2] & AT_REMOVEDIR)
