"""A full image that is a plain tree on this machine, read with lstat(2) and its kin."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.root.xattrs import read_xattrs
from slimtrace.tracer.trace.trace import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator

_BLOCK_BYTES = 512
"""The unit of st_blocks, whatever the file system's block size is (inode(7))."""


class HostNode(NamedTuple):
    """One file of a tree.

    :ivar inode: device and inode number: the same for all names of a file.
    :ivar links: the number of its names.
    """

    fingerprint: Fingerprint
    inode: tuple[int, int]
    links: int


class Totals(NamedTuple):
    """Number and size (bytes) of a tree's regular files; each inode's size counts once.

    A hole in a sparse file of a :class:`HostTree` is not counted.
    """

    files: int
    size: int


class HostTree:
    """The tree below ``top``. Paths are absolute in it; their parents contain no symlink."""

    def __init__(self, top: str) -> None:
        self._top = top
        self._prefix = top.rstrip("/")

    def node(self, path: str) -> HostNode | None:
        """The file at a path; None if there is none."""
        try:
            status = os.lstat(self._prefix + path if path != "/" else self._top)
        except (OSError, ValueError):
            return None
        return HostNode(Fingerprint.of(status), (status.st_dev, status.st_ino), status.st_nlink)

    def target(self, path: str) -> str:
        """The target of the symlink at a path, as written."""
        return os.readlink(self._prefix + path)

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        """Extended attributes, sorted by name."""
        return read_xattrs(self._prefix + path)

    def names(self, path: str) -> list[str]:
        """The names in a directory; none if it cannot be read."""
        try:
            return os.listdir(self._prefix + path)
        except OSError:
            return []

    def totals(self) -> Totals:
        """The regular files of its file system, without what the kernel provides.

        A file counts as the bytes that are allocated for it, at most its size: a sparse file may
        be larger than the disk (st_blocks in inode(7)). What a bind mount shows a second time is
        counted once.
        """
        files = size = 0
        linked: set[tuple[int, int]] = set()
        for status in self._regular_files():
            files += 1
            if status.st_nlink > 1:
                inode = (status.st_dev, status.st_ino)
                if inode in linked:
                    continue
                linked.add(inode)
            size += min(status.st_size, status.st_blocks * _BLOCK_BYTES)
        return Totals(files, size)

    def _regular_files(self) -> Iterator[os.stat_result]:
        top = os.stat(self._top)
        seen = {top.st_ino}
        skipped = {f"{self._prefix}/{name}" for name in ("proc", "sys", "dev", "run")}
        folders = [self._top]
        while folders:
            try:
                with os.scandir(folders.pop()) as children:
                    for child in children:
                        if child.is_dir(follow_symlinks=False):
                            # Not for files: on overlayfs a file has the device of its layer.
                            status = child.stat(follow_symlinks=False)
                            is_new = status.st_dev == top.st_dev and status.st_ino not in seen
                            if is_new and child.path not in skipped:
                                seen.add(status.st_ino)
                                folders.append(child.path)
                        elif child.is_file(follow_symlinks=False):
                            yield child.stat(follow_symlinks=False)
            except OSError:  # it cannot be read, or is gone by now: not counted
                continue
