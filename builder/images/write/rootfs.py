"""A slim image as a plain tree: ``rootfs:DIR``."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slimtrace.builder.images.reference import ImageReference, Transport
from slimtrace.builder.images.write.atomic import (
    check_folder,
    choose_work_folder,
    empty_on_error,
    remove_on_error,
    sync_folder,
    temporary_name,
)
from slimtrace.builder.images.write.layer import sort_entries
from slimtrace.builder.model import Entry, Kind
from slimtrace.builder.os_errors import convert_write_errors
from slimtrace.builder.root.contents import read_contents
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.text import format_count

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.model import Image

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

# Errors of chown(2) and setxattr(2) that come from limits of users, namespaces or file systems.
_NOT_ALLOWED_ERRNOS = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.EOPNOTSUPP}


@dataclass(slots=True)
class RootfsDestination:
    """A tree at ``folder``, which must be empty or new.

    :ivar warnings: what could not be preserved; complete after :meth:`write`.
    """

    folder: str
    warnings: tuple[Caution, ...] = field(default=(), init=False)

    def __str__(self) -> str:
        return str(ImageReference(Transport.ROOTFS, self.folder))

    def work_folder(self) -> str:
        return choose_work_folder(os.path.realpath(self.folder))

    def prepare(self) -> None:
        """Check that the tree can be written.

        :raises SlimtraceError: ``folder`` is not empty, is not a directory, or cannot be made.
        """
        place = os.path.realpath(self.folder)
        if not os.path.lexists(place):
            check_folder(os.path.dirname(place), self.folder)
            return
        check_folder(place, self.folder)
        with convert_write_errors(self.folder):
            if os.listdir(place):
                raise SlimtraceError(
                    f"cannot write {self.folder}: it is not empty",
                    "name an empty or a new directory",
                )

    def write(self, image: Image, entries: Iterable[Entry]) -> None:  # noqa: ARG002 -- Destination
        """Write the tree.

        A new one appears whole; one in a directory that exists is filled in, and emptied again
        when that fails.

        :raises SlimtraceError: it cannot be written, or a file is gone or changed.
        """
        self.prepare()
        place = os.path.realpath(self.folder)
        ordered = sort_entries(entries)
        with convert_write_errors(self.folder):
            if os.path.isdir(place):
                with empty_on_error(place):
                    self._fill(place, ordered)
                return
            beside = temporary_name(place)
            with remove_on_error(beside):
                os.mkdir(beside, 0o755)
                self._fill(beside, ordered)
                os.rename(beside, place)
            sync_folder(os.path.dirname(place))

    def _fill(self, place: str, ordered: list[Entry]) -> None:
        filler = _TreeWriter(place)
        try:
            for entry in ordered:
                filler.add(entry)
            # Inner folders first: a new name in a folder changes its mtime.
            for entry in reversed(ordered):
                if entry.kind is Kind.DIRECTORY:
                    filler.finish_folder(entry)
        finally:
            filler.close()
        # fsync(2) of each of thousands of files costs seconds more than one sync(2).
        os.sync()
        self.warnings = filler.warnings()


class _TreeWriter:
    """Writes entries below a directory.

    Each folder of a path is opened without following symlinks: an entry below a symlink fails, and
    is not written outside the tree.
    """

    def __init__(self, place: str) -> None:
        self._root = os.open(place, _FOLDER_FLAGS)
        self._parent = ("", self._root)
        self._first: dict[tuple[int, int], str] = {}
        self._not_owned = 0
        self._without_xattrs = 0

    def close(self) -> None:
        self._leave()
        os.close(self._root)

    def warnings(self) -> tuple[Caution, ...]:
        found = []
        if self._not_owned:
            found.append(
                Caution(
                    f"the owners of {format_count(self._not_owned, 'file')} were not kept, nor "
                    "their setuid bits: that needs root",
                    "write the tree as root, or as a tarball (tar:FILE)",
                )
            )
        if self._without_xattrs:
            found.append(
                Caution(
                    f"extended attributes of {format_count(self._without_xattrs, 'file')} were "
                    "not kept: this user may not set them, or the file system lacks them",
                    "write the tree as root to another file system, or as a tarball (tar:FILE)",
                )
            )
        return tuple(found)

    def add(self, entry: Entry) -> None:
        folder, name = self._enter(entry.path)
        if entry.hardlink is not None:
            first = self._first.setdefault(entry.hardlink, entry.path)
            if first != entry.path:
                self._link(first, folder, name)
                return
        match entry.kind:
            case Kind.DIRECTORY:
                if name != ".":
                    os.mkdir(name, 0o700, dir_fd=folder)
            case Kind.SYMLINK:
                os.symlink(entry.target, name, dir_fd=folder)
                self._dress(entry, f"/proc/self/fd/{folder}/{name}")
            case Kind.FIFO:
                os.mkfifo(name, 0o600, dir_fd=folder)
                self._dress(entry, f"/proc/self/fd/{folder}/{name}")
            case Kind.FILE:
                self._file(entry, folder, name)

    def finish_folder(self, entry: Entry) -> None:
        folder, name = self._enter(entry.path)
        self._dress(entry, f"/proc/self/fd/{folder}/{name}")

    def _file(self, entry: Entry, folder: int, name: str) -> None:
        fd = os.open(name, _NEW_FILE_FLAGS, 0o600, dir_fd=folder)
        with open(fd, "wb") as file:
            file.writelines(read_contents(entry))
        self._dress(entry, f"/proc/self/fd/{folder}/{name}")

    def _link(self, first: str, folder: int, name: str) -> None:
        target = os.dup(folder)  # entering first's folder leaves this one
        try:
            source, old = self._enter(first)
            os.link(old, name, src_dir_fd=source, dst_dir_fd=target, follow_symlinks=False)
        finally:
            os.close(target)

    def _dress(self, entry: Entry, path: str) -> None:
        """Set owner, xattrs, mode and times, in an order in which none resets another.

        chown(2) clears capabilities and setuid; an unwritable mode forbids user xattrs.
        """
        owned = self._own(entry, path)
        lost = False
        for attribute, value in entry.xattrs:
            try:
                os.setxattr(path, attribute, value, follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NOT_ALLOWED_ERRNOS:
                    raise
                lost = True
        self._without_xattrs += lost
        if entry.kind is not Kind.SYMLINK:
            # With another owner a setuid bit would give that owner's rights.
            os.chmod(path, entry.mode & (0o7777 if owned else 0o1777))
        os.utime(path, ns=(entry.mtime_ns, entry.mtime_ns), follow_symlinks=False)

    def _own(self, entry: Entry, path: str) -> bool:
        try:
            os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NOT_ALLOWED_ERRNOS:
                raise
            self._not_owned += 1
            return False
        return True

    def _enter(self, path: str) -> tuple[int, str]:
        """Open the folder of ``path``; return its descriptor and the name (``.`` for ``/``)."""
        above, _, name = path.rpartition("/")
        if above != self._parent[0]:
            self._leave()
            fd = os.dup(self._root)
            for step in above.split("/")[1:]:
                try:
                    inner = os.open(step, _FOLDER_FLAGS, dir_fd=fd)
                finally:
                    os.close(fd)
                fd = inner
            self._parent = (above, fd)
        return self._parent[1], name or "."

    def _leave(self) -> None:
        if self._parent[1] != self._root:
            os.close(self._parent[1])
        self._parent = ("", self._root)
