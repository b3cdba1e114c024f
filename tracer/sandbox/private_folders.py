"""Copies of this machine's folders for one repeated run: what is changed there is dropped.

A copy is an overlay above the folder; where the kernel lays none, it is a copy of all files.
"""

from __future__ import annotations

import os
import stat
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from slimtrace.tracer.environment import read_limit
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

if TYPE_CHECKING:
    from collections.abc import Iterator

COPY_VARIABLE = "SLIMTRACE_MAX_FOLDER_COPY"
_DEFAULT_MAX_COPY_BYTES = 1 << 30
"""Of a folder whose files are copied: more would take long and fill the disk."""
_BLOCK_BYTES = 512  # the unit of st_blocks on every file system (stat(3type))
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

    def copy(self, place: str, source: str | None = None) -> str:
        """Return the path of a copy of a folder or file.

        :param place: the folder that the run knows.
        :param source: the folder with the files, if it is another one.
        :raises SlimtraceError: no overlay can be laid, and it is too large to copy, or a file
            cannot be read.
        """
        source = os.path.realpath(source or place)
        kind = stat.S_IFMT(os.stat(source).st_mode)
        if kind not in {stat.S_IFDIR, stat.S_IFREG}:
            return self.share(place)  # a socket or device is what it is
        folder = self._make_folder()
        copy = os.path.join(folder, _MERGED)
        why = self._lay_overlay(source, folder) if kind == stat.S_IFDIR else "it is a file"
        if why is not None:
            _copy_files(source, copy, why, inside=self._scratch.path)
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
        folder = os.path.join(self._scratch.path, f"private-{len(self.places)}")
        os.mkdir(folder)
        return folder

    def _lay_overlay(self, source: str, folder: str) -> str | None:
        """Lay an empty layer over a directory; return why the kernel refuses, or None."""
        for name in (_LOWER, _UPPER, _WORK, _MERGED):
            os.mkdir(os.path.join(folder, name))
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


def copy_tree(source: str, copy: str) -> None:
    """Copy a folder or file with all metadata, by reflink if the file system supports it.

    :param copy: an empty directory for a folder, a new path for a file.
    :raises SlimtraceError: something cannot be copied.
    """
    what = f"{source}/." if os.path.isdir(source) else source
    done = subprocess.run(
        ["cp", "-a", "--reflink=auto", "--", what, copy],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode != 0:
        cause = (done.stderr.strip().splitlines() or ["cp failed"])[-1]
        raise SlimtraceError(f"cannot copy {source}: {cause}")


def is_larger(path: str, limit: int) -> bool:
    """Whether the files at a path use more than ``limit`` bytes of its disk."""
    size = 0
    for status in _list_statuses(path):
        size += status.st_blocks * _BLOCK_BYTES
        if size > limit:
            return True
    return False


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


def _copy_files(source: str, copy: str, why: str, inside: str) -> None:
    if os.path.commonpath([source, inside]) == source:
        raise SlimtraceError(
            f"cannot make a copy of {source}: {why}", "set TMPDIR to a directory outside of it"
        )
    limit = read_limit(COPY_VARIABLE, _DEFAULT_MAX_COPY_BYTES)
    if is_larger(source, limit):
        raise SlimtraceError(
            f"cannot make a copy of {source}: {why}, and its files use more than {limit} bytes",
            f"set {COPY_VARIABLE} to more",
        )
    copy_tree(source, copy)


def _list_statuses(path: str) -> Iterator[os.stat_result]:
    yield os.lstat(path)
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            with suppress(OSError):
                yield os.lstat(os.path.join(folder, name))
