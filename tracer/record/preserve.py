"""Puts files aside before the app changes them: on the host's root nothing else keeps them.

The tracee waits for our answer while a copy is made, so the copy is what it was about to change.
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
_BLOCK = 512  # st_blocks counts these, whatever the file system's own (stat(3type))
MAX_SAVED_PATHS = 200_000
"""In one run. More is not put aside, and a gap says so."""


class Preserver:
    """Copies in one folder, which is made when the first one is."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._kept: set[bytes] = set()
        self._kept_alone: set[bytes] = set()  # directories, without what is below them
        self._names: dict[tuple[int, int], set[bytes]] = {}  # of files with several names
        self._linked: dict[tuple[int, int], SavedFile] = {}  # of those, the ones put aside

    def save(self, path: bytes, *, deep: bool = True) -> Iterator[SavedFile]:
        """Put aside what is at ``path`` (a symlink itself, a directory with all below it).

        A path is put aside once: what is there later is the app's own.

        :param deep: False for a directory alone.
        :raises OSError: it cannot be read or copied.
        """
        waiting = [path]
        while waiting:
            path = waiting.pop()
            if path in self._kept:
                continue
            if len(self._kept) >= MAX_SAVED_PATHS:
                raise OSError(errno.EFBIG, "too many files are changed or moved")
            self._kept.add(path)
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                if path not in self._kept_alone:
                    yield self._record(path, status, b"")
                if not deep:
                    self._kept_alone.add(path)
                    self._kept.discard(path)
                    return
                with os.scandir(path) as entries:
                    waiting += [entry.path for entry in entries]
            elif stat.S_ISLNK(status.st_mode):
                yield self._record(path, status, os.readlink(path))
            elif stat.S_ISREG(status.st_mode):
                saved = self._copy(path, status)
                yield saved
                if status.st_nlink > 1:
                    yield from self._under_other_names(saved, status)

    def add_name(self, path: bytes, status: os.stat_result) -> Iterator[SavedFile]:
        """Note a name of a file that has several; put it aside if another name was."""
        inode = status.st_dev, status.st_ino
        self._names.setdefault(inode, set()).add(path)
        saved = self._linked.get(inode)
        if saved is not None and path not in self._kept:
            self._kept.add(path)
            yield replace(saved, path=os.fsdecode(path))

    def _under_other_names(self, saved: SavedFile, status: os.stat_result) -> Iterator[SavedFile]:
        inode = status.st_dev, status.st_ino
        self._linked[inode] = saved
        for name in self._names.get(inode, set()) - self._kept:
            self._kept.add(name)
            yield replace(saved, path=os.fsdecode(name))

    def _record(self, path: bytes, status: os.stat_result, data: bytes) -> SavedFile:
        name = self._name(path, status)
        with open(name, "wb") as file:
            file.write(data)
        return SavedFile(os.fsdecode(path), name, Fingerprint.of(status))

    def _copy(self, path: bytes, status: os.stat_result) -> SavedFile:
        name = self._name(path, status)
        if status.st_blocks * _BLOCK > _free(self._folder) // 2:
            raise OSError(errno.ENOSPC, "its copy would take most of what is free on the disk")
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
        import hashlib  # noqa: PLC0415 -- 5 ms at every start, for what most runs never do

        identity = b"%s %d %d" % (path, status.st_ino, status.st_mtime_ns)
        return os.path.join(self._folder, hashlib.sha256(identity).hexdigest())


def _clone(source: int, copy: int, size: int) -> None:
    """All bytes, by reflink where the file system can; holes stay holes (lseek(2))."""
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


def _free(folder: str) -> int:
    """Bytes free for this user on the folder's disk."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize
