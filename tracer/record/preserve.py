"""Saves copies of files before the app changes them: on the host's root there is no other copy.

The tracee waits while the copy is made, so the copy has the unchanged content.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.tracer.trace.trace import Fingerprint, SavedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_CHUNK_BYTES = 1 << 20
_BLOCK_BYTES = 512  # the unit of st_blocks on every file system (stat(3type))
MAX_SAVED_PATHS = 200_000
"""In one run. Further paths are not saved, and a gap says so."""


class Preserver:
    """Saves copies in one folder, which is created with the first copy."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._saved_paths: set[bytes] = set()
        self._shallow_paths: set[bytes] = set()  # directories saved without their content
        self._names: dict[tuple[int, int], set[bytes]] = {}  # of files with several names
        self._hard_links: dict[tuple[int, int], SavedFile] = {}  # of those, the saved ones

    def save(self, path: bytes, *, deep: bool = True) -> Iterator[SavedFile]:
        """Save what is at ``path``: a file, a symlink itself, or a directory with its content.

        A path is saved once: what is there later was made by the app.

        :param deep: False to save a directory without its content.
        :raises OSError: it cannot be read or copied.
        """
        pending = [path]
        while pending:
            path = pending.pop()
            if path in self._saved_paths:
                continue
            if len(self._saved_paths) >= MAX_SAVED_PATHS:
                raise OSError(errno.EFBIG, "too many files are changed or moved")
            self._saved_paths.add(path)
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                if path not in self._shallow_paths:
                    yield self._record(path, status, b"")
                if not deep:
                    self._shallow_paths.add(path)
                    self._saved_paths.discard(path)
                    return
                with os.scandir(path) as entries:
                    pending += [entry.path for entry in entries]
            elif stat.S_ISLNK(status.st_mode):
                yield self._record(path, status, os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                saved = self._copy(path, status)
                yield saved
                if status.st_nlink > 1:
                    yield from self._save_other_names(saved, status)

    def add_name(self, path: bytes, status: os.stat_result) -> Iterator[SavedFile]:
        """Note one name of a file with several names; save it if another name is saved."""
        inode = status.st_dev, status.st_ino
        self._names.setdefault(inode, set()).add(path)
        saved = self._hard_links.get(inode)
        if saved is not None and path not in self._saved_paths:
            self._saved_paths.add(path)
            yield replace(saved, path=os.fsdecode(path))

    def _save_other_names(self, saved: SavedFile, status: os.stat_result) -> Iterator[SavedFile]:
        inode = status.st_dev, status.st_ino
        self._hard_links[inode] = saved
        for name in self._names.get(inode, set()) - self._saved_paths:
            self._saved_paths.add(name)
            yield replace(saved, path=os.fsdecode(name))

    def _record(self, path: bytes, status: os.stat_result, data: bytes) -> SavedFile:
        name = self._name(path, status)
        with open(name, "wb") as file:
            file.write(data)
        return SavedFile(os.fsdecode(path), name, Fingerprint.of(status))

    def _copy(self, path: bytes, status: os.stat_result) -> SavedFile:
        name = self._name(path, status)
        if status.st_blocks * _BLOCK_BYTES > _count_free_bytes(self._folder) // 2:
            raise OSError(errno.ENOSPC, "its copy would use more than half of the free disk space")
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        try:
            with open(os.open(path, flags), "rb") as source, open(name, "wb") as copy:
                _clone(source.fileno(), copy.fileno(), status.st_size)
        except OSError:
            if os.path.exists(name):
                os.unlink(name)
            raise
        return SavedFile(os.fsdecode(path), name, Fingerprint.of(status))

    def _name(self, path: bytes, status: os.stat_result) -> str:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        import hashlib  # noqa: PLC0415 -- 5 ms at every start; most runs do not need it

        identity = b"%s %d %d" % (path, status.st_ino, status.st_mtime_ns)
        return os.path.join(self._folder, hashlib.sha256(identity).hexdigest())


def _clone(source: int, copy: int, size: int) -> None:
    """Copy all bytes, by reflink if the file system supports it; keep holes (lseek(2))."""
    try:
        fcntl.ioctl(copy, _FICLONE, source)
    except OSError:
        os.truncate(copy, size)
        end = 0
        while (start := _next_data(source, end)) is not None:
            end = os.lseek(source, start, os.SEEK_HOLE)
            while start < end:
                chunk = os.pread(source, min(_CHUNK_BYTES, end - start), start)
                if not chunk:
                    return
                start += os.pwrite(copy, chunk, start)


def _next_data(fd: int, offset: int) -> int | None:
    try:
        return os.lseek(fd, offset, os.SEEK_DATA)
    except OSError as error:
        if error.errno == errno.ENXIO:
            return None
        raise


def _count_free_bytes(folder: str) -> int:
    """The free bytes for this user on the folder's disk."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
