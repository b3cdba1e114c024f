"""Decodes calls on files: open, rename, and calls with a fixed use for each path."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from slimtrace.tracer.decode.call import UNCACHED, CallVerdict
from slimtrace.tracer.decode.path_arguments import follows_symlink
from slimtrace.tracer.decode.refusals import RENAME_EXCHANGE, Refusals
from slimtrace.tracer.paths import KERNELS, join
from slimtrace.tracer.process import magic_links
from slimtrace.tracer.process.root_view import is_directory
from slimtrace.tracer.syscalls.table import (
    AT_FDCWD,
    O_ACCMODE,
    O_CREAT,
    O_EXCL,
    O_PATH,
    O_TRUNC,
    PathArgument,
)
from slimtrace.tracer.trace.trace import PathState, State, Use

if TYPE_CHECKING:
    from slimtrace.tracer.decode.call import StoppedCall
    from slimtrace.tracer.decode.path_arguments import PathResolver
    from slimtrace.tracer.decode.touches import TouchRecorder

_RESOLVE_IN_ROOT = 0x10
_LINKS = ("link", "linkat")
_SYMLINKS = ("symlink", "symlinkat")
_HOW_RESOLVE = 16  # offset in struct open_how (openat2(2))


class FileDecoder:
    """Decodes calls on files."""

    def __init__(self, resolver: PathResolver, touches: TouchRecorder) -> None:
        self._resolver = resolver
        self._touches = touches
        self._refusals = Refusals(touches.permissions)

    def decode_plain(self, stop: StoppedCall) -> CallVerdict:
        """Record each path with the use that the call's signature says."""
        again, is_missing = True, True
        if stop.call.name in _SYMLINKS:
            self._touches.note_path_change()
        elif stop.call.name in _LINKS:
            self._link(stop)
        for argument in stop.call.signature.paths:
            path = self._resolver.read_path(stop, argument)
            if path is None:
                again = False
                continue
            place = self._resolver.look_up(
                stop.tid, path, follow=follows_symlink(argument, stop.flags)
            )
            again = self.record_argument(stop, argument, place) and again
            is_missing = is_missing and place.state is State.MISSING
        if stop.call.name in _SYMLINKS:  # this call may fail, and the next one succeed
            return UNCACHED
        if again:
            return CallVerdict(self._touches.touches)
        only = stop.call.signature.paths[0]
        if not is_missing or stop.path is None or only.use is Use.CREATE:
            return UNCACHED
        return self._missing(stop.path, follow=follows_symlink(only, stop.flags))

    def _missing(self, path: bytes, *, follow: bool) -> CallVerdict:
        """Return the verdict on a missing path, which depends on the caller below /proc."""
        if path.startswith(KERNELS):
            return UNCACHED
        return CallVerdict(self._touches.touches, missing=(path, follow))

    def _link(self, stop: StoppedCall) -> None:
        """Note a hard link: one of a symlink changes paths; one of a file can be written to."""
        argument = stop.call.signature.paths[0]
        path = self._resolver.read_path(stop, argument)
        if path is None:
            return
        place = self._resolver.look_up(stop.tid, path, follow=follows_symlink(argument, stop.flags))
        if place.status is not None and stat.S_ISLNK(place.status.st_mode):
            self._touches.note_path_change()
        elif place.state is State.FILE:
            self._touches.record_link(place)

    def record_argument(self, stop: StoppedCall, argument: PathArgument, place: PathState) -> bool:
        """Record one path of a plain call; return whether an equal call would record the same."""
        use = argument.use
        if place.state is State.MISSING:
            if use is Use.CREATE:
                self._touches.record_create(stop, place)
            else:
                self._touches.record_touches(stop, use, place)
            return False
        if use is Use.CREATE:  # the call fails with EEXIST: it only looked
            use = Use.STAT
        elif self._refusals.refuses_change(stop, use, place):
            self._touches.record_touches(stop, Use.STAT, place)
            return False
        elif use in (Use.DELETE, Use.WRITE) or (use is Use.ATTR and not is_directory(place.status)):
            follow = follows_symlink(argument, stop.flags)
            self._touches.save_copy(stop.tid, place, follow=follow, deep=False)
        self._touches.record_touches(stop, use, place)
        if use is Use.DELETE:
            self._touches.record_delete(place)
        return True

    def decode_open(self, stop: StoppedCall) -> CallVerdict:
        """Decode open, openat and creat: the flags say how the file is used (open(2))."""
        path = self._resolver.read_path(stop, stop.call.signature.paths[0])
        flags = stop.flags if stop.call.name != "creat" else os.O_WRONLY | O_CREAT | O_TRUNC
        return UNCACHED if path is None else self._open(stop, path, flags)

    def decode_openat2(self, stop: StoppedCall) -> CallVerdict:
        """Decode openat2: its flags are in the caller's memory, and it may choose a root."""
        memory = self._resolver.memory
        flags = memory.number(stop.tid, stop.args[2], 8)
        resolve = memory.number(stop.tid, stop.args[2] + _HOW_RESOLVE, 8)
        raw = memory.string(stop.tid, stop.args[1])
        if flags is None or resolve is None or not raw:
            return UNCACHED
        follow = not flags & os.O_NOFOLLOW
        if resolve & _RESOLVE_IN_ROOT:
            path = self._locate_below(stop.tid, stop.fd(0), raw, follow=follow)
        else:
            path = self._resolver.locate(stop.tid, stop.fd(0), raw, follow=follow)
        if path is not None:
            self._open(stop, path, flags)
        return UNCACHED

    def _locate_below(self, tid: int, dirfd: int, raw: bytes, *, follow: bool) -> bytes | None:
        """Return a path for RESOLVE_IN_ROOT: the directory is the root for this call."""
        root = b"/proc/%d/%s" % (tid, b"cwd" if dirfd == AT_FDCWD else b"fd/%d" % dirfd)
        path = self._resolver.resolve_inside(root, raw, follow=follow)
        if path is not None:
            return path
        base = magic_links.read_link(root)
        return None if base is None else join(base, raw.lstrip(b"/") or b".")

    def _open(self, stop: StoppedCall, path: bytes, flags: int) -> CallVerdict:
        if path == b"/dev/fuse":
            self._resolver.serves_files = True
        exclusive = flags & O_CREAT and flags & O_EXCL
        follow = not (flags & os.O_NOFOLLOW or exclusive)
        place = self._resolver.look_up(stop.tid, path, follow=follow)
        if place.state is State.MISSING:
            if flags & O_CREAT:
                place = self._touches.record_create(stop, place)
            for use in _open_uses(flags, None):
                self._touches.record_touches(stop, use, place)
            return UNCACHED if flags & O_CREAT else self._missing(path, follow=follow)
        uses = (Use.STAT,) if exclusive else _open_uses(flags, place.status)
        if self._refusals.refuses_read(stop.tid, uses[0], place):
            self._touches.record_touches(stop, Use.STAT, place)
            return UNCACHED
        refused = False
        if Use.WRITE in uses and not is_directory(place.status):
            self._touches.save_copy(stop.tid, place, follow=True)
            refused = self._refusals.refuses_write(stop.tid, place)
            if refused:  # another process may succeed
                uses = tuple(use for use in uses if use is not Use.WRITE) or (Use.STAT,)
        for use in uses:
            self._touches.record_touches(stop, use, place)
        return UNCACHED if refused else CallVerdict(self._touches.touches)

    def decode_rename(self, stop: StoppedCall) -> CallVerdict:
        """Record both names, and save copies of what is at them (rename(2))."""
        old_path, new_path = (
            self._resolver.read_path(stop, argument) for argument in stop.call.signature.paths
        )
        if old_path is None or new_path is None:
            return UNCACHED
        old = self._resolver.look_up(stop.tid, old_path, follow=False)
        new = self._resolver.look_up(stop.tid, new_path, follow=False)
        if self._refusals.refuses_rename(stop.tid, old, new, stop.flags):
            for place in (old, new):
                self._touches.record_touches(stop, Use.STAT, place)
            return UNCACHED
        self._touches.save_copy(stop.tid, old, follow=False)
        self._touches.record_touches(stop, Use.DELETE, old)
        if old.status is None:
            return UNCACHED
        if not stat.S_ISREG(old.status.st_mode):
            self._touches.note_path_change()
        is_back = stat.S_ISDIR(old.status.st_mode) and self._touches.record_directory_move(
            old, new_path
        )
        if new.status is not None and stop.flags & RENAME_EXCHANGE:
            self._exchange(stop, old, new)
        elif is_back:
            self._touches.record_touch(
                stop.process, Use.WRITE, PathState(new_path, State.FILE, old.status)
            )
        elif new.state is State.MISSING:
            self._touches.record_create(stop, new)
        else:
            self._touches.save_copy(stop.tid, new, follow=False, deep=False)
            self._touches.record_touch(stop.process, Use.WRITE, new)
        return UNCACHED

    def _exchange(self, stop: StoppedCall, old: PathState, new: PathState) -> None:
        """Record an exchange of two names (RENAME_EXCHANGE, renameat2(2))."""
        self._touches.note_path_change()
        self._touches.save_copy(stop.tid, new, follow=False)
        self._touches.record_touch(stop.process, Use.WRITE, new)
        if is_directory(old.status) or is_directory(new.status):
            self._touches.record_exchange(old, new)


def _open_uses(flags: int, status: os.stat_result | None) -> tuple[Use, ...]:
    if flags & O_PATH:
        return (Use.STAT,)
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        return (Use.WRITE,)
    if is_directory(status):
        return (Use.LIST,)
    mode = flags & O_ACCMODE
    if mode == os.O_RDONLY:
        return (Use.READ, Use.WRITE) if flags & O_TRUNC else (Use.READ,)
    return (Use.WRITE,) if mode == os.O_WRONLY else (Use.READ, Use.WRITE)
