"""Puts files aside before the app changes them: on the host's root nothing else keeps them.

The tracee waits for our answer while a copy is made, so the copy is what it was about to change.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

from tracer.model import Fingerprint, SavedFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_FICLONE = 0x40049409  # ioctl_ficlone(2)
_CHUNK = 1 << 20
MOST_ENTRIES = 50_000
"""Of a directory tree that is moved away; a larger one is not put aside."""


class Custody:
    """Copies, named by their sha256, in one folder that is made when the first one is."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._kept: set[bytes] = set()
        self._names: dict[tuple[int, int], set[bytes]] = {}  # of files with several names
        self._linked: dict[tuple[int, int], SavedFile] = {}  # of those, the ones put aside

    def keep(self, path: bytes) -> Iterator[SavedFile]:
        """Put aside what lies at ``path`` (a symlink itself, a directory with all below it).

        A path is kept once: what lies there later is the app's own.

        :raises OSError: it cannot be read or copied.
        """
        if path in self._kept:
            return
        self._kept.add(path)
        status = os.lstat(path)
        if stat.S_ISDIR(status.st_mode):
            yield self._record(path, status, b"")
            yield from self._below(path)
        elif stat.S_ISLNK(status.st_mode):
            yield self._record(path, status, os.readlink(path))
        elif stat.S_ISREG(status.st_mode):
            saved = self._copy(path, status)
            yield saved
            if status.st_nlink > 1:
                yield from self._under_other_names(saved, status)

    def also_named(self, path: bytes, status: os.stat_result) -> Iterator[SavedFile]:
        """Learn a name of a file that has several; it is put aside if another name's was."""
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

    def _below(self, directory: bytes) -> Iterator[SavedFile]:
        with os.scandir(directory) as entries:
            for entry in entries:
                if len(self._kept) > MOST_ENTRIES:
                    raise OSError(27, "the directory holds too many files")
                yield from self.keep(entry.path)

    def _record(self, path: bytes, status: os.stat_result, data: bytes) -> SavedFile:
        name = os.path.join(self._made_folder(), hashlib.sha256(data).hexdigest())
        with open(name, "wb") as file:
            file.write(data)
        return SavedFile(os.fsdecode(path), name, Fingerprint.of(status))

    def _copy(self, path: bytes, status: os.stat_result) -> SavedFile:
        part = os.path.join(self._made_folder(), f"{os.getpid()}.part")
        digest = hashlib.sha256()
        try:
            with open(path, "rb") as source, open(part, "w+b") as copy:
                try:
                    fcntl.ioctl(copy, _FICLONE, source.fileno())
                except OSError:
                    while chunk := source.read(_CHUNK):
                        copy.write(chunk)
                    copy.seek(0)
                while chunk := copy.read(_CHUNK):
                    digest.update(chunk)
            name = os.path.join(self._folder, digest.hexdigest())
            os.replace(part, name)
        except OSError:
            if os.path.exists(part):
                os.unlink(part)
            raise
        return SavedFile(os.fsdecode(path), name, Fingerprint.of(status))

    def _made_folder(self) -> str:
        os.makedirs(self._folder, mode=0o700, exist_ok=True)
        return self._folder
