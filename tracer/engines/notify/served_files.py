"""Serves /proc and devices to an app whose root has none of them: a copy entered by chroot.

Opens of such paths get a descriptor of the real file, which the kernel puts into the app
(seccomp_unotify(2), SECCOMP_IOCTL_NOTIF_ADDFD). For calls that only look, as readlink of
/proc/self/exe, the copy gets what they look for just before they go on. Such an entry is the same
for all processes, so of two that look at once one may find the other's.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from slimtrace.tracer.kernel.openat2 import open_in_root
from slimtrace.tracer.path_resolution import MAXSYMLINKS
from slimtrace.tracer.process import magic_links
from slimtrace.tracer.process.borrowed_ids import ids_of
from slimtrace.tracer.process.root_view import resolve_parent
from slimtrace.tracer.syscalls.table import CallMeaning

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.kernel.seccomp import NotifyListener
    from slimtrace.tracer.process.root_view import RootView

SERVED = (b"/proc/", b"/dev/")
_DEVICES = frozenset(b"/dev/" + name for name in (b"null", b"zero", b"full", b"random", b"urandom"))
_FLAGS_ARGUMENT = {"open": 1, "openat": 2}
_NOT_PASSED = os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_DIRECT


class ServedFiles:
    """What an app in a copied root finds below /proc and /dev.

    :param view: of the app's root.
    """

    def __init__(self, view: RootView) -> None:
        self._view = view

    def serve(self, stop: StoppedCall, path: bytes, listener: NotifyListener) -> bool:
        """Answer an open of a served file, or prepare what another call looks at.

        :param path: absolute, as the app gave it.
        :returns: whether the call was answered; else it must go on.
        """
        if b".." in path.split(b"/"):  # it may lead to the tracer's root
            return False
        if stop.call.signature.meaning is CallMeaning.OPEN:
            target = self._find_served(path)
            if target is not None:
                return self._open(stop, target, listener)
        elif path.startswith(b"/proc/"):
            with suppress(OSError):
                self._prepare(stop.tid, path)
        return False

    def _find_served(self, path: bytes) -> bytes | None:
        """The served path that a path leads to, as that of a log to /dev/stdout; None for none."""
        for _ in range(MAXSYMLINKS):
            real = path if path.startswith(SERVED) else resolve_parent(self._view, path)
            if real.startswith(SERVED):
                return real
            target = self._read_symlink(real)
            if target is None:
                return None
            path = os.path.join(os.path.dirname(real), target)
        return None

    def _read_symlink(self, path: bytes) -> bytes | None:
        root = self._view.open_path(b"/")
        try:
            fd = open_in_root(root, path, follow=False)
            try:
                return os.readlink(b"", dir_fd=fd)
            finally:
                os.close(fd)
        except OSError:
            return None
        finally:
            os.close(root)

    def _open(self, stop: StoppedCall, path: bytes, listener: NotifyListener) -> bool:
        argument = _FLAGS_ARGUMENT.get(stop.call.name)
        if argument is None:
            return False
        flags = stop.args[argument] & 0xFFFFFFFF
        real = magic_links.replace_self(stop.tid, path)
        is_own = real.startswith(b"/proc/%d/" % stop.tid)
        if not (real.startswith(b"/proc/") or real in _DEVICES):
            return False
        if flags & os.O_ACCMODE != os.O_RDONLY and not (is_own or real in _DEVICES):
            listener.refuse(errno.EACCES)
            return True
        try:
            with ids_of(stop.tid):
                fd = os.open(real, flags & ~_NOT_PASSED | os.O_CLOEXEC | os.O_NOCTTY)
        except OSError as error:
            listener.refuse(error.errno or errno.EIO)
            return True
        try:
            return listener.give(fd, os.O_CLOEXEC if flags & os.O_CLOEXEC else 0)
        finally:
            os.close(fd)

    def _prepare(self, tid: int, path: bytes) -> None:
        """Make an entry of the copy: a symlink for a magic link, else an empty file or folder."""
        link, _ = magic_links.split_magic_link(path)
        place = link or path
        real = magic_links.replace_self(tid, place)
        target = None
        if link is not None:
            target = magic_links.read_link(real) or os.readlink(real)  # or pipe:[1]
        if target is None and os.path.isdir(real):
            os.close(self._make_folder(place))
        if target is None and not os.path.isfile(real):
            return
        folder, name = os.path.split(place)
        directory = self._make_folder(folder)
        try:
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=directory)
            if target is not None:
                os.symlink(target, name, dir_fd=directory)
            else:
                os.mknod(name, 0o444, dir_fd=directory)
        finally:
            os.close(directory)

    def _make_folder(self, path: bytes) -> int:
        """A descriptor of a folder of the copy, which is made if it is missing."""
        folder = self._view.open_path(b"/")
        for name in path.strip(b"/").split(b"/"):
            try:
                with suppress(FileExistsError):
                    os.mkdir(name, 0o755, dir_fd=folder)
                below = open_in_root(folder, name, follow=False)
            finally:
                os.close(folder)
            folder = below
        return folder
