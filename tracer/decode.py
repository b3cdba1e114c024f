"""One stopped call → touches. All engines feed this; nothing here knows how the stop came.

Every function runs while the caller waits, so what is asked of the kernel here is the state
that the call will meet.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tracer import tracee
from tracer.binfmt import Interpreters
from tracer.kernel.memory import MemoryReader
from tracer.kernel.pidfd import borrow
from tracer.model import Listening, Place, State, Use
from tracer.paths import join, parent
from tracer.syscalls.signatures import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_FOLLOW,
    AT_SYMLINK_NOFOLLOW,
    O_ACCMODE,
    O_CREAT,
    O_EXCL,
    O_PATH,
    O_TRUNC,
    Follow,
    Meaning,
    PathArgument,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tracer.recorder import Recorder
    from tracer.syscalls.tables import Call

_RESOLVE_IN_ROOT = 0x10
_RENAME_NOREPLACE, _RENAME_EXCHANGE = 1, 2
_SECCOMP_SET_MODE_FILTER, _NEW_LISTENER = 1, 1 << 3
_SOCKADDR_MOST = 128
_SYMLINKS = ("symlink", "symlinkat")
LOOKS = (Use.STAT, Use.READLINK)
_UTIMENSAT = ("utimensat", "utimensat_time64", "futimesat")


class Stop(NamedTuple):
    """A thread that waits at a call.

    :ivar process: the process image that the thread runs.
    :ivar args: six unsigned 64-bit arguments.
    """

    tid: int
    process: int
    call: Call
    args: Sequence[int]

    def fd(self, argument: int) -> int:
        """A descriptor argument: the kernel takes 32 bits, signed."""
        value = self.args[argument] & 0xFFFFFFFF
        return value - (1 << 32) if value >> 31 else value

    @property
    def flags(self) -> int:
        at = self.call.signature.flags
        return 0 if at is None else self.args[at] & 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the answer to the caller and the caller's cache of seen calls need to know.

    :ivar touches: what the same call would touch again, whoever makes it; None where that
        cannot be known beforehand.
    :ivar refuse: the errno to answer with, or None to let the call go on.
    """

    touches: Sequence[tuple[Use, Place]] | None = None
    refuse: int | None = None


_ONCE = Outcome()


class Decoder:
    """Decodes for one run.

    :ivar own_roots: True once any tracee changed what its paths mean; each is then asked.
    :ivar execs: who made an exec that is under way, and what it will touch, by thread: the process
        image that it makes is yet to be.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self.memory = MemoryReader()
        self.own_roots = False
        self._moved = False
        self._interpreters = Interpreters()
        self._inherited = {tracee.link(b"/proc/self/fd/%d" % fd) for fd in range(3)}
        self._links_changed = False
        self._made: list[tuple[Use, Place]] = []
        self.execs: dict[int, tuple[int, list[tuple[Use, Place]]]] = {}
        self._by_meaning: dict[Meaning, Callable[[Stop], Outcome]] = {
            Meaning.PLAIN: self._plain,
            Meaning.OPEN: self._open,
            Meaning.OPENAT2: self._openat2,
            Meaning.EXEC: self._exec,
            Meaning.RENAME: self._rename,
            Meaning.SOCKADDR: self._sockaddr,
            Meaning.LISTEN: self._listen,
            Meaning.SOCKETCALL: self._socketcall,
            Meaning.OWN_ROOT: self._own_root,
            Meaning.OWN_FILTER: self._own_filter,
            Meaning.OWN_TRACER: self._own_tracer,
            Meaning.RING: self._ring,
            Meaning.NOTED: self._noted,
        }

    def decode(self, stop: Stop) -> Outcome:
        """Record what the call is about to do. Raises nothing: a failed look is data."""
        self.recorder.syscall(stop.call.name)
        if stop.tid in self.execs:  # its exec failed: the caller made the look-ups
            self.commit_exec(stop.tid, stop.process)
        self._made = []
        outcome = self._by_meaning[stop.call.signature.meaning](stop)
        return _ONCE if self.own_roots and outcome.touches is not None else outcome

    def again(self, tid: int, process: int, touches: Sequence[tuple[Use, Place]]) -> None:
        """Record for another process image what the same call was decoded to before."""
        if tid in self.execs:
            self.commit_exec(tid, process)
        for use, place in touches:
            self._touch(process, use, place)

    def _repeatable(self) -> Outcome:
        return Outcome(self._made)

    def commit_exec(self, tid: int, process: int, exe: bytes | None = None) -> None:
        """The exec under way in ``tid`` is over: its touches belong to ``process``.

        :param exe: what the kernel says it runs: an interpreter of binfmt_misc, for one.
        """
        _, touches = self.execs.pop(tid, (process, []))
        if exe is not None:
            touches.append((Use.EXEC, self.place(tid, exe, follow=True)))
        self.recorder.touched(process, touches)

    def finish(self) -> None:
        """The run is over: an exec that nobody heard of again failed, or its caller was killed."""
        for tid, (process, _) in [*self.execs.items()]:
            self.commit_exec(tid, process)

    def unsettled(self) -> bool:
        """Whether paths seen before may mean other files since the last time this was asked."""
        moved, self._moved = self._moved, False
        return moved or self.own_roots

    # Places

    def path(self, stop: Stop, argument: PathArgument) -> bytes | None:
        """The absolute path of an argument, or None where the call names no file."""
        if argument.path is None:
            return tracee.base_directory(stop.tid, stop.fd(argument.dirfd or 0))
        address = stop.args[argument.path]
        if address == 0:
            by_fd = stop.flags & AT_EMPTY_PATH or stop.call.name in _UTIMENSAT
            raw: bytes | None = b"" if by_fd else None
        else:
            raw = self.memory.string(stop.tid, address)
        if raw is None:
            return None
        dirfd = AT_FDCWD if argument.dirfd is None else stop.fd(argument.dirfd)
        if not raw:
            return self._of_descriptor(stop, argument, dirfd)
        return self.locate(stop.tid, dirfd, raw)

    @staticmethod
    def _of_descriptor(stop: Stop, argument: PathArgument, dirfd: int) -> bytes | None:
        """What an empty path means: the descriptor's own file, where the call allows that.

        To look at an open file again names no file: it was recorded when it was opened, and one
        that was inherited, a log on stdout, is nothing that the image needs.
        """
        if argument.use in LOOKS:
            return None
        allowed = stop.flags & AT_EMPTY_PATH or stop.call.name in _UTIMENSAT
        return tracee.base_directory(stop.tid, dirfd) if allowed else None

    def locate(self, tid: int, dirfd: int, raw: bytes) -> bytes | None:
        """``raw`` made absolute in the image's root."""
        if raw.startswith(b"/"):
            base = b"/"
        else:
            start = tracee.base_directory(tid, dirfd)
            if start is None:
                return None
            base = start
        path = join(base, raw)
        if self.own_roots and tracee.has_own_root(tid):
            return self._in_own_root(tid, path, absolute=raw.startswith(b"/"))
        return path

    def _in_own_root(self, tid: int, path: bytes, *, absolute: bool) -> bytes | None:
        """The path in the image's root of what a thread with another root calls ``path``."""
        root = b"/proc/%d/root" % tid
        prefix = tracee.link(root) or b"/"
        inside = path
        if not absolute and prefix != b"/" and (path + b"/").startswith(prefix + b"/"):
            inside = path[len(prefix) :] or b"/"
        found = tracee.resolve_inside(root, inside, follow=True)
        if found is not None:
            return found
        with tracee.directory(root) as fd:
            if fd is not None and _exists_in(fd, inside):
                self.recorder.gap(
                    "foreign-root", f"{os.fsdecode(inside)} lies in another mount namespace"
                )
                return None
        return join(prefix, inside.lstrip(b"/") or b".")

    def place(self, tid: int, path: bytes, *, follow: bool) -> Place:
        """What lies at a path now, as the tracee sees it."""
        state, status = self.recorder.state(tracee.own_view(tid, path), follow=follow)
        return Place(path, state, status)

    # Touches

    def _touch(self, process: int, use: Use, place: Place) -> None:
        self._made.append((use, place))
        self.recorder.touched(process, ((use, place),))

    def _touch_for(self, stop: Stop, use: Use, place: Place) -> None:
        """A touch by a stopped thread, of the file behind a magic link too.

        And of the file's own path once the app has changed links: what leads to it now need
        not lead there in the full image.
        """
        self._touch(stop.process, use, place)
        if self._links_changed and place.state is State.FILE:
            own = os.path.realpath(place.path)
            if own != place.path:
                self._touch(stop.process, use, self.place(stop.tid, own, follow=True))
        hidden = tracee.behind(stop.tid, place.path)
        if hidden is not None and hidden not in self._inherited:
            self._touch(stop.process, use, self.place(stop.tid, hidden, follow=True))

    def _put_aside(self, place: Place, *, follow: bool) -> None:
        if place.state is State.FILE and not place.path.startswith((b"/proc/", b"/dev/")):
            self.recorder.put_aside(os.path.realpath(place.path) if follow else place.path)

    def _create(self, stop: Stop, place: Place) -> Place:
        """The call makes what is missing, if it can; what will lie there then."""
        if os.access(parent(place.path), os.W_OK):
            self.recorder.created(place.path)
            place = Place(place.path, State.CREATED, None)
        self._touch(stop.process, Use.CREATE, place)
        return place

    def _links_moved(self) -> None:
        """The app makes or moves a symlink or a directory: paths through it change meaning."""
        self._links_changed = self._moved = True

    # One function a meaning

    def _plain(self, stop: Stop) -> Outcome:
        again = True
        if stop.call.name in _SYMLINKS:
            self._links_moved()
        for argument in stop.call.signature.paths:
            path = self.path(stop, argument)
            if path is None:
                again = False
                continue
            place = self.place(stop.tid, path, follow=_follows(argument, stop.flags))
            again = self._apply(stop, argument, place) and again
        return self._repeatable() if again else _ONCE

    def _apply(self, stop: Stop, argument: PathArgument, place: Place) -> bool:
        """Record one path of a plain call; True when the same call would say the same again."""
        use = argument.use
        if place.state is State.MISSING:
            if use is Use.CREATE:
                self._create(stop, place)
            else:
                self._touch_for(stop, use, place)
            return False
        if use is Use.CREATE:  # EEXIST: it was only looked at
            use = Use.STAT
        elif use in (Use.DELETE, Use.WRITE) or (
            use is Use.ATTR and not tracee.is_directory(place.status)
        ):
            self._put_aside(place, follow=_follows(argument, stop.flags))
        self._touch_for(stop, use, place)
        return True

    def _open(self, stop: Stop) -> Outcome:
        argument = stop.call.signature.paths[0]
        path = self.path(stop, argument)
        flags = stop.flags if stop.call.name != "creat" else os.O_WRONLY | O_CREAT | O_TRUNC
        return _ONCE if path is None else self._open_path(stop, path, flags)

    def _open_path(self, stop: Stop, path: bytes, flags: int) -> Outcome:
        exclusive = flags & O_CREAT and flags & O_EXCL
        follow = not (flags & os.O_NOFOLLOW or exclusive)
        place = self.place(stop.tid, path, follow=follow)
        if place.state is State.MISSING:
            if flags & O_CREAT:
                place = self._create(stop, place)
            for use in _open_uses(flags, None):
                self._touch_for(stop, use, place)
            return _ONCE
        uses = (Use.STAT,) if exclusive else _open_uses(flags, place.status)
        if Use.WRITE in uses and not tracee.is_directory(place.status):
            self._put_aside(place, follow=True)
        for use in uses:
            self._touch_for(stop, use, place)
        return self._repeatable()

    def _openat2(self, stop: Stop) -> Outcome:
        how = self.memory.number(stop.tid, stop.args[2], 8)
        resolve = self.memory.number(stop.tid, stop.args[2] + 16, 8)
        raw = self.memory.string(stop.tid, stop.args[1])
        if how is None or resolve is None or not raw:
            return _ONCE
        dirfd = stop.fd(0)
        path: bytes | None
        if resolve & _RESOLVE_IN_ROOT:
            name = b"cwd" if dirfd == AT_FDCWD else b"fd/%d" % dirfd
            root = b"/proc/%d/%s" % (stop.tid, name)
            path = tracee.resolve_inside(root, raw, follow=not how & os.O_NOFOLLOW)
            if path is None:
                base = tracee.link(root)
                path = None if base is None else join(base, raw.lstrip(b"/") or b".")
        else:
            path = self.locate(stop.tid, dirfd, raw)
        return _ONCE if path is None else self._open_path(stop, path, how)

    def _exec(self, stop: Stop) -> Outcome:
        argument = stop.call.signature.paths[0]
        path = self.path(stop, argument)
        if path is None:
            return _ONCE
        program = self.place(stop.tid, path, follow=True)
        if program.status is None:
            self._touch(stop.process, Use.EXEC, program)
            return _ONCE
        touches = [(Use.EXEC, program)]
        hidden = tracee.behind(stop.tid, path)
        if hidden is not None:
            touches.append((Use.EXEC, self.place(stop.tid, hidden, follow=True)))
        cwd = tracee.base_directory(stop.tid, AT_FDCWD)
        view = tracee.own_view(stop.tid, path)
        for interpreter in self._interpreters.of(view, cwd, program.status):
            place = self.place(stop.tid, interpreter.path, follow=True)
            touches.append((interpreter.use, place))
        self.execs[stop.tid] = stop.process, touches
        if program.status.st_mode & 0o6000 and os.geteuid() != 0:
            self.recorder.gap(
                "setuid", f"{os.fsdecode(path)} ran without the privilege that it asks for"
            )
        return _ONCE

    def _rename(self, stop: Stop) -> Outcome:
        old_path, new_path = (self.path(stop, argument) for argument in stop.call.signature.paths)
        if old_path is None or new_path is None:
            return _ONCE
        old = self.place(stop.tid, old_path, follow=False)
        self._put_aside(old, follow=False)
        self._touch(stop.process, Use.DELETE, old)
        if old.state is State.MISSING:
            return _ONCE
        if old.status is not None and not stat.S_ISREG(old.status.st_mode):
            self._links_moved()
        new = self.place(stop.tid, new_path, follow=False)
        if new.state is State.MISSING:
            self._create(stop, new)
        elif stop.flags & _RENAME_NOREPLACE:
            self._touch(stop.process, Use.STAT, new)
        else:
            self._put_aside(new, follow=False)
            self._touch(stop.process, Use.WRITE, new)
        return _ONCE

    def _sockaddr(self, stop: Stop) -> Outcome:
        use = stop.call.signature.paths[0].use
        self._address(stop, use, stop.fd(0), stop.args[1], stop.args[2])
        return _ONCE

    def _address(self, stop: Stop, use: Use, fd: int, address: int, length: int) -> None:
        """A bind or connect: a path of the file system (unix(7)) or a port (ip(7))."""
        try:
            data = self.memory.block(stop.tid, address, min(length, _SOCKADDR_MOST))
        except OSError:
            return
        if len(data) < 4:
            return
        family = int.from_bytes(data[:2], "little")
        if family == socket.AF_UNIX and data[2]:  # else abstract or unnamed
            path = self.locate(stop.tid, AT_FDCWD, data[2:].split(b"\0", 1)[0])
            if path is not None:
                argument = PathArgument(use, None)
                self._apply(stop, argument, self.place(stop.tid, path, follow=True))
        elif family in (socket.AF_INET, socket.AF_INET6) and use is Use.CREATE:
            (port,) = struct.unpack_from("!H", data, 2)
            if port:
                self._datagram_port(stop.tid, fd, port)

    def _datagram_port(self, tid: int, fd: int, port: int) -> None:
        with borrow(tracee.owner(tid), fd) as own:
            if own is not None and own.type == socket.SOCK_DGRAM:
                self.recorder.listening(Listening("udp", port))

    def _listen(self, stop: Stop) -> Outcome:
        self._stream_port(stop.tid, stop.fd(0))
        return _ONCE

    def _stream_port(self, tid: int, fd: int) -> None:
        with borrow(tracee.owner(tid), fd) as own:
            if own is not None and own.family in (socket.AF_INET, socket.AF_INET6):
                port = own.getsockname()[1]
                if port:
                    self.recorder.listening(Listening("tcp", port))

    def _socketcall(self, stop: Stop) -> Outcome:
        """i386's one call for all sockets: the number, then a block of 32-bit arguments."""
        try:
            block = self.memory.block(stop.tid, stop.args[1], 12)
            fd, address, length = struct.unpack("<III", block)
        except (OSError, struct.error):
            return _ONCE
        match stop.args[0]:
            case 2:
                self._address(stop, Use.CREATE, fd, address, length)
            case 3:
                self._address(stop, Use.CONNECT, fd, address, length)
            case 4:
                self._stream_port(stop.tid, fd)
        return _ONCE

    def _own_root(self, stop: Stop) -> Outcome:
        self._plain(stop)
        self.own_roots = True
        return _ONCE

    def _own_filter(self, stop: Stop) -> Outcome:
        if stop.args[0] == _SECCOMP_SET_MODE_FILTER and stop.args[1] & _NEW_LISTENER:
            self.recorder.gap(
                "own-listener", "the app asked for a seccomp listener of its own and was refused"
            )
        return _ONCE

    def _own_tracer(self, _stop: Stop) -> Outcome:
        self.recorder.gap("own-tracer", "the app traces by ptrace: what it traces may be unseen")
        return _ONCE

    def _ring(self, _stop: Stop) -> Outcome:
        self.recorder.gap(
            "io-uring-refused", "io_uring answered ENOSYS: opens through a ring are invisible"
        )
        return Outcome(refuse=errno.ENOSYS)

    def _noted(self, stop: Stop) -> Outcome:
        if stop.call.name == "open_by_handle_at":
            self.recorder.gap("by-handle", "a file was opened by handle: its path is not known")
        return _ONCE


def _follows(argument: PathArgument, flags: int) -> bool:
    match argument.follow:
        case Follow.YES:
            return True
        case Follow.NO:
            return False
        case Follow.UNLESS_NOFOLLOW:
            return not flags & AT_SYMLINK_NOFOLLOW
        case Follow.IF_FOLLOW:
            return bool(flags & AT_SYMLINK_FOLLOW)


def _open_uses(flags: int, status: os.stat_result | None) -> tuple[Use, ...]:
    if flags & O_PATH:
        return (Use.STAT,)
    if flags & os.O_TMPFILE == os.O_TMPFILE:
        return (Use.WRITE,)
    if tracee.is_directory(status):
        return (Use.LIST,)
    mode = flags & O_ACCMODE
    if mode == os.O_RDONLY:
        return (Use.READ, Use.WRITE) if flags & O_TRUNC else (Use.READ,)
    return (Use.WRITE,) if mode == os.O_WRONLY else (Use.READ, Use.WRITE)


def _exists_in(root: int, path: bytes) -> bool:
    try:
        os.stat(path.lstrip(b"/") or b".", dir_fd=root, follow_symlinks=False)
    except OSError:
        return False
    return True
