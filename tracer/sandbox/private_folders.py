"""Copies of this machine's folders for one repeated run: what is changed there is dropped.

A copy is an overlay above the folder; where the kernel lays none, it is a copy of all files.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.kernel.namespaces import (
    CLONE_NEWNS,
    MS_BIND,
    MS_REC,
    MS_SLAVE,
    detach,
    mount,
    unshare,
)
from slimtrace.tracer.sandbox.overlay import (
    create_scratch_folder,
    match_directory,
    remove_scratch_folder,
)
from slimtrace.tracer.sandbox.userns import is_in_first_namespace
from slimtrace.tracer.tree_copy import copy_tree

if TYPE_CHECKING:
    from collections.abc import Iterator

_SO_ACCEPTCON = 1 << 16  # linux/net.h
_LOWER, _UPPER, _WORK, _MERGED = "lower", "upper", "work", "merged"
_OVERLAY_OPTIONS = f"lowerdir={_LOWER},upperdir={_UPPER},workdir={_WORK}"


class PrivateFolders:
    """A context in which folders have copies. Mounts are made in a mount namespace of our own.

    :ivar places: each folder of this machine, and the path of what a repeated run sees there.
    """

    def __init__(self) -> None:
        self.places: dict[str, str] = {}
        self._scratch = create_scratch_folder()
        self._mounts: list[str] = []
        self._may_mount = _leave_mount_namespace()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for point in reversed(self._mounts):
            with suppress(OSError):
                detach(point)
        remove_scratch_folder(self._scratch.path)
        os.close(self._scratch.lock)

    def copy(self, place: str, source: str | None = None, kept: str | None = None) -> str:
        """Return the path of a copy of a folder or file.

        :param place: the folder that the run knows.
        :param source: the folder with the files, if it is another one.
        :param kept: where changes stay for the next context that asks for the same copy; None to
            drop them at the end of this one.
        :raises SlimtraceError: no overlay can be laid, and it is too large to copy, or a file
            cannot be read.
        """
        source = os.path.realpath(source or place)
        kind = stat.S_IFMT(os.stat(source).st_mode)
        if kind not in {stat.S_IFDIR, stat.S_IFREG}:
            return self.share(place)  # a socket or device is what it is
        folder = kept or self._make_folder()
        os.makedirs(folder, exist_ok=True)
        copy = os.path.join(folder, _MERGED)
        is_new = not os.path.lexists(copy)
        why = self._lay_overlay(source, folder) if kind == stat.S_IFDIR else "it is a file"
        if why is not None and is_new:
            _copy_files(source, copy, why, inside=folder)
        if self._may_mount:
            self._share_sockets(os.path.realpath(place), copy)
        if os.path.exists(place):
            self.places[place] = copy
        return copy

    def share(self, place: str) -> str:
        """Return a path at which the folder itself stays visible, whatever is mounted over it."""
        shared = place
        if self._may_mount:
            shared = os.path.join(self._make_folder(), _MERGED)
            if not os.path.isdir(place):
                os.close(os.open(shared, os.O_CREAT | os.O_CLOEXEC, 0o600))
            else:
                os.mkdir(shared)
            mount(os.path.realpath(place), shared, flags=MS_BIND | MS_REC)
            self._mounts.append(shared)
        self.places[place] = shared
        return shared

    def _make_folder(self) -> str:
        return tempfile.mkdtemp(prefix="private-", dir=self._scratch.path)

    def _share_sockets(self, source: str, copy: str) -> None:
        """Show the sockets on which this machine's programs listen: a copy of one is nobody's."""
        for path in _list_listening_sockets():
            if path.startswith(f"{source}/"):
                shown = copy + path.removeprefix(source)
                with suppress(OSError):
                    mount(path, shown, flags=MS_BIND)
                    self._mounts.append(shown)

    def _lay_overlay(self, source: str, folder: str) -> str | None:
        """Lay an empty layer over a directory; return why the kernel refuses, or None."""
        for name in (_LOWER, _UPPER, _WORK, _MERGED):
            os.makedirs(os.path.join(folder, name), exist_ok=True)
        if not self._may_mount:
            return "mounts are not allowed here"
        if _has_mounts_below(source):  # an overlay shows one file system
            return "other file systems are mounted in it"
        before = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.chdir(folder)  # no name in the options: commas and colons mean something in them
            mount(source, _LOWER, flags=MS_BIND)
            self._mounts.append(os.path.join(folder, _LOWER))
            match_directory(_UPPER, _LOWER)
            own_xattrs = "" if is_in_first_namespace() else ",userxattr"
            mount("overlay", _MERGED, "overlay", 0, _OVERLAY_OPTIONS + own_xattrs)
            self._mounts.append(os.path.join(folder, _MERGED))
        except OSError as error:
            return f"overlay: {os.strerror(error.errno or 0)}"
        finally:
            os.fchdir(before)
            os.close(before)
        return None


def _leave_mount_namespace() -> bool:
    """Whether this process may mount: then in a mount namespace of its own."""
    try:
        unshare(CLONE_NEWNS)
        mount("none", "/", flags=MS_REC | MS_SLAVE)  # what others mount still arrives here
    except OSError:
        return False
    return True


def _has_mounts_below(path: str) -> bool:
    with open("/proc/self/mountinfo", "rb") as file:  # its fifth field is escaped (proc(5))
        points = [line.split()[4].replace(b"\\040", b" ") for line in file]
    return any(point.startswith(os.fsencode(path).rstrip(b"/") + b"/") for point in points)


def _list_listening_sockets() -> Iterator[str]:
    """The paths of Unix sockets that accept connections (proc(5), /proc/net/unix)."""
    with open("/proc/net/unix", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            fields = line.split(maxsplit=7)
            is_path = len(fields) == 8 and fields[7].startswith("/")
            if is_path and int(fields[3], 16) & _SO_ACCEPTCON:
                yield os.path.realpath(fields[7].rstrip("\n"))


def _copy_files(source: str, copy: str, why: str, inside: str) -> None:
    if os.path.commonpath([source, inside]) == source:
        raise SlimtraceError(
            f"cannot make a copy of {source}: {why}", "set TMPDIR to a directory outside of it"
        )
    try:
        copy_tree(source, copy)
    except SlimtraceError as error:
        message = f"{error.message}; and it cannot be overlaid: {why}"
        raise SlimtraceError(message, error.hint) from error
