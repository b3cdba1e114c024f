"""Finds the file that a path argument names: its absolute path in the image's root."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.memory import PATH_MAX, MemoryReader
from slimtrace.tracer.kernel.openat2 import open_in_root
from slimtrace.tracer.paths import join
from slimtrace.tracer.process import magic_links, procfs
from slimtrace.tracer.syscalls.table import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    Follow,
    PathArgument,
)
from slimtrace.tracer.trace.trace import PathState, State, Use

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.record.recorder import Recorder

LOOKS = (Use.STAT, Use.READLINK)
"""Uses that leave the file and its descriptors as they are."""

_EMPTY_MEANS_FD = ("utimensat", "utimensat_time64", "futimesat")


class PathResolver:
    """Reads paths from the caller's memory and finds the files that they name.

    :ivar own_roots: True after any tracee changed its root or mounts; each caller's root and
        mounts are then checked.
    :ivar serves_files: True after any tracee opened /dev/fuse. Reading a file that it serves would
        be a deadlock: we wait for the tracee while it waits for us.
    """

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._view = recorder.view
        self.memory = MemoryReader()
        self.own_roots = False
        self.serves_files = False

    @property
    def paths_depend_on_caller(self) -> bool:
        """Whether a path may lead to another file for another caller, or must not be read."""
        return self.own_roots or self.serves_files

    def read_path(self, stop: StoppedCall, argument: PathArgument) -> bytes | None:
        """Return the absolute path of an argument; None if the call names no file."""
        if stop.path is not None and not self.own_roots:
            return stop.path
        if argument.path is None:
            return magic_links.read_base_directory(stop.tid, stop.fd(argument.dirfd or 0))
        address = stop.args[argument.path]
        if address == 0:
            by_fd = stop.flags & AT_EMPTY_PATH or stop.call.name in _EMPTY_MEANS_FD
            raw: bytes | None = b"" if by_fd else None
        else:
            raw = self.memory.string(stop.tid, address)
        if raw is None:
            return None
        dirfd = AT_FDCWD if argument.dirfd is None else stop.fd(argument.dirfd)
        if not raw:
            return self._read_descriptor_path(stop, argument, dirfd)
        return self.locate(stop.tid, dirfd, raw, follow=follows_symlink(argument, stop.flags))

    @staticmethod
    def _read_descriptor_path(
        stop: StoppedCall, argument: PathArgument, dirfd: int
    ) -> bytes | None:
        """Return the path of a descriptor, for a call with an empty path; None if not allowed.

        None also for a call that only looks at an open file. That file was recorded when it was
        opened; an inherited file, such as a log on stdout, is not needed in the image.
        """
        if argument.use in LOOKS:
            return None
        allowed = stop.flags & AT_EMPTY_PATH or stop.call.name in _EMPTY_MEANS_FD
        return magic_links.read_base_directory(stop.tid, dirfd) if allowed else None

    def locate(self, tid: int, dirfd: int, raw: bytes, *, follow: bool) -> bytes | None:
        """Return ``raw`` as an absolute path in the image's root; None if that is not known."""
        if raw.startswith(b"/"):
            base: bytes | None = b"/"
        else:
            base = magic_links.read_base_directory(tid, dirfd)
        if base is None:
            if magic_links.is_hidden_directory(tid, dirfd, upwards=b".." in raw):
                self._recorder.record_gap(
                    "unknown-directory", f"{os.fsdecode(raw)}: its base directory is not known"
                )
            return None
        path = join(base, raw)
        if len(path) >= PATH_MAX:
            self._recorder.record_gap(
                "unknown-directory", f"{os.fsdecode(path[:200])}…: the absolute path is too long"
            )
            return None
        if self.serves_files and procfs.is_on_fuse(tid, path):
            return path
        if self.own_roots and self._view.has_other_root(tid):
            return self._locate_in_own_root(tid, path, absolute=raw.startswith(b"/"), follow=follow)
        return path

    def _locate_in_own_root(
        self, tid: int, path: bytes, *, absolute: bool, follow: bool
    ) -> bytes | None:
        """Return the path in the image's root for ``path`` of a thread with another root."""
        root = b"/proc/%d/root" % tid
        prefix = magic_links.read_link(root) or b"/"
        inside = path
        if not absolute and prefix != b"/":
            if not (path + b"/").startswith(prefix + b"/"):
                return path  # from a directory that was open before: outside its root
            inside = path[len(prefix) :] or b"/"
        found = self.resolve_inside(root, inside, follow=follow)
        if found is not None:
            return path if prefix == b"/" and self._is_same(found, path) else found
        with magic_links.open_directory(root) as fd:
            if fd is not None and _exists_in(fd, inside):
                name = os.fsdecode(inside)
                self._recorder.record_gap("foreign-root", f"{name} is in another mount namespace")
                return None
        return join(prefix, inside.lstrip(b"/") or b".")

    def look_up(self, tid: int, path: bytes, *, follow: bool) -> PathState:
        """Return what is at a path now, as the tracee sees it."""
        if self.serves_files and procfs.is_on_fuse(tid, path):
            self._recorder.record_gap(
                "file-server",
                f"{os.fsdecode(path)} is on a file system that the app serves: not read",
            )
            return PathState(path, State.MISSING, None)
        view = self._view.replace_self(tid, path)
        if self.own_roots and view == path and self._view.has_other_mounts(tid):
            return self._look_up_in(tid, path, follow=follow)
        state, status = self._recorder.history.look_up_state(view, follow=follow)
        return PathState(path, state, status)

    def resolve_inside(self, root: bytes, path: bytes, *, follow: bool) -> bytes | None:
        """Return where a path leads if ``root``, a magic link of /proc, is its ``/``, or None."""
        return magic_links.resolve_in_root(root, path, self._view.stat, follow=follow)

    def _is_same(self, one: bytes, other: bytes) -> bool:
        try:
            return os.path.samestat(self._view.stat(one), self._view.stat(other))
        except OSError:
            return False

    def _look_up_in(self, tid: int, path: bytes, *, follow: bool) -> PathState:
        """Return what is at a path, for a thread with its own mounts."""
        with magic_links.open_directory(b"/proc/%d/root" % tid) as root:
            if root is None:
                return PathState(path, State.MISSING, None)
            try:
                fd = open_in_root(root, path, follow=follow)
            except OSError:
                return PathState(path, State.MISSING, None)
            try:
                status = os.fstat(fd)
            finally:
                os.close(fd)
        return PathState(path, self._recorder.history.classify(path, status), status)


def follows_symlink(argument: PathArgument, flags: int) -> bool:
    """Whether the call follows a symlink in the last component of this argument."""
    match argument.follow:
        case Follow.YES:
            return True
        case Follow.NO:
            return False
        case Follow.UNLESS_NOFOLLOW:
            return not flags & AT_SYMLINK_NOFOLLOW
        case Follow.IF_FOLLOW:
            return bool(flags & AT_SYMLINK_FOLLOW)


def _exists_in(root: int, path: bytes) -> bool:
    try:
        os.stat(path.lstrip(b"/") or b".", dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return True
