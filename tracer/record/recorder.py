"""Turns what was decoded into lines of the trace: each touch once, with what lay there before."""

from __future__ import annotations

import os
import stat
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from slimtrace.tracer.paths import KERNELS, is_below
from slimtrace.tracer.process.root_view import HERE, own_name
from slimtrace.tracer.record.preserve import Preserver
from slimtrace.tracer.trace.gaps import loses_files
from slimtrace.tracer.trace.trace import Gap, ListeningPort, PathState, ProcessImage, State, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from slimtrace.tracer.process.root_view import View
    from slimtrace.tracer.trace.writer import TraceWriter

_CLOCK_SLACK_NS = 50_000_000
"""File times come from the kernel's coarse clock, up to a tick behind; doubled and more."""
_MOST_TAILS = 20_000
_MOST_GAPS = 200
"""Of one kind; what comes later says nothing new to a reader and must not fill the disk."""


class Recorder:
    """One run's facts. Called by the thread that answers calls and the one that hears of lives.

    What is recorded by a ``…_later`` method is written once the call was answered, before the next
    is received: the app does not wait for it, and the order stays.

    :ivar view: how to look at the app's files.
    :ivar complete: False once a gap says that files may be missing.
    :ivar later: what is still to be written; whoever adds to it sees that it gets done (flush).
    """

    def __init__(
        self, writer: TraceWriter, run: int, first_process: int, view: View = HERE
    ) -> None:
        self.view = view
        self._stat = view.stat
        self._writer = writer
        self._run = run
        self._next_process = first_process
        self._lock = threading.Lock()
        self._writing = threading.RLock()
        self._is_writing = False
        self._began = time.monotonic()
        self._began_ns = time.time_ns() - _CLOCK_SLACK_NS
        # The trace and its folder: no need of the app's. Inside an image it has neither.
        self._own = b"\0" if view.is_inside else os.fsencode(writer.path)
        self._own_folder = os.fsencode(writer.folder) + b"/"
        self._custody = Preserver(writer.folder)
        self._known: set[int] = set()  # hashes: see notify
        self._files: set[int] = set()
        self._tails: dict[int, tuple[Sequence[tuple[Use, PathState]], list[bytes]]] = {}
        self._names: set[int] = set()  # of files that have several
        self._created: set[bytes] = set()
        self._moved: dict[bytes, bytes] = {}
        self._pristine: dict[tuple[int, int], bytes] = {}  # files that got another name
        self._syscalls: set[str] = set()
        self._arguments: set[tuple[str, int]] = set()
        self._is_narrow = False
        self._ports: dict[ListeningPort, None] = {}  # in order
        self._gaps: dict[str, set[str]] = {}
        self.complete = True
        self.later: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def flush(self) -> None:
        """Write what was put off, or wait until another thread has."""
        if not (self.later or self._is_writing):
            return
        later = self.later
        with self._writing:
            self._is_writing = True
            self._writer.gather()
            try:
                while later:
                    task, words = later.popleft()
                    task(*words)
            finally:
                self._writer.spill()
                self._is_writing = False

    def seconds(self) -> float:
        """Since the run began."""
        return time.monotonic() - self._began

    def process(self, parent_image: int | None, exe: str, argv: tuple[str, ...]) -> int:
        """An exec made a process image; returns its id."""
        ident = self.new_process()
        self.describe(ident, parent_image, exe, argv)
        return ident

    def new_process(self) -> int:
        """The id of a process image that is to be described."""
        with self._lock:
            ident = self._next_process
            self._next_process += 1
        return ident

    def describe(
        self, process: int, parent_image: int | None, exe: str, argv: tuple[str, ...]
    ) -> None:
        """What a process image is."""
        self._writer.process(ProcessImage(process, parent_image, self._run, exe, argv))
        self._writer.begin()

    def exited(self, process: int, status: int) -> None:
        """A process image ended."""
        self.flush()
        self._writer.exited(process, status)

    def exited_later(self, process: int, status: int) -> None:
        self.later.append((self._writer.exited, (process, status)))

    def state(self, path: bytes, *, follow: bool) -> tuple[State, os.stat_result | None]:
        """What lies at ``path`` now, asked while the caller waits.

        :param follow: whether the call follows a symlink in the last component.
        """
        try:
            status = self._stat(path, follow_symlinks=follow)
        except (OSError, ValueError):
            return State.MISSING, None
        return (State.CREATED if self._is_created(path, status) else State.FILE), status

    def state_of(self, path: bytes, status: os.stat_result) -> State:
        """What something is that lies at ``path``."""
        return State.CREATED if self._is_created(path, status) else State.FILE

    def _is_created(self, path: bytes, status: os.stat_result) -> bool:
        """Whether the run made it: by name, or under another name of the same file.

        What the run made has changed since the run began (st_ctime), so all else needs no look.
        """
        if not self._created:
            return False
        if path in self._created or is_below(path, self._created):
            return True
        if self.origin(path) is not None:
            return True
        if status.st_ctime_ns < self._began_ns:
            return False
        is_link = stat.S_ISLNK(status.st_mode)
        real = self._own_name(path) if is_link else self.view.own_path(path)
        return real in self._created or is_below(real, self._created)

    def touched(self, process: int, touches: Iterable[tuple[Use, PathState]]) -> None:
        """Write touches, but for those that this process image made before."""
        self.flush()
        self._touched_now(process, touches, self.seconds())

    def touched_later(self, process: int, touches: Iterable[tuple[Use, PathState]]) -> None:
        self.later.append((self._touched_now, (process, touches, self.seconds())))

    def touched_again(self, process: int, touches: Sequence[tuple[Use, PathState]]) -> None:
        """The same touches as another process image's, of which this one makes each once."""
        self.later.append((self._touched_again, (process, touches, self.seconds())))

    def _touched_again(
        self, process: int, touches: Sequence[tuple[Use, PathState]], seconds: float
    ) -> None:
        known = self._tails.get(id(touches))
        if known is None:
            if len(self._tails) >= _MOST_TAILS:
                self._tails.clear()
            needed = [*self._needed(touches)]
            tails = [self._writer.tail(use, place) for use, place in needed]
            self._tails[id(touches)] = touches, tails  # kept, so that the id stays theirs
            new = [
                tail
                for (use, place), tail in zip(needed, tails, strict=True)
                if self._is_new(process, use, place)
            ]
        else:
            new = known[1]
        if new:
            self._writer.touched(seconds, process, new)

    def _needed(self, touches: Iterable[tuple[Use, PathState]]) -> Iterator[tuple[Use, PathState]]:
        """All but the trace itself, and its folder: no need of the app's."""
        for use, place in touches:
            path = place.path
            if path.startswith(self._own) and (
                path == self._own or (path + b"/").startswith(self._own_folder)
            ):
                continue
            yield use, place

    def _touched_now(
        self, process: int, touches: Iterable[tuple[Use, PathState]], seconds: float
    ) -> None:
        tails = [
            self._writer.tail(use, place)
            for use, place in self._needed(touches)
            if self._is_new(process, use, place)
        ]
        if tails:
            self._writer.touched(seconds, process, tails)

    def _is_new(self, process: int, use: Use, place: PathState) -> bool:
        """Whether the process image did not make this touch before."""
        key = hash((process, id(use), place.path, id(place.state)))  # enums hash slowly
        if key in self._known:
            return False
        self._known.add(key)
        if place.state is State.FILE:
            self._files.add(hash(place.path))
        if place.status is not None and place.status.st_nlink > 1:
            self._linked(place)
        return True

    def _linked(self, place: PathState) -> None:
        """A file with several names: what changes it under one, changes it under all."""
        status = place.status
        if status is None or place.state is not State.FILE or not stat.S_ISREG(status.st_mode):
            return
        if self.view.is_inside:
            return
        name = hash((place.path, status.st_dev, status.st_ino))
        if name in self._names or place.path.startswith(KERNELS):  # what is behind has its touch
            return
        self._names.add(name)
        for saved in self._custody.also_named(self.view.own_path(place.path), status):
            self._writer.saved(saved)

    def created(self, path: bytes) -> None:
        """The app is about to make ``path``, where nothing is."""
        self._created.add(path)
        self._created.add(self._own_name(path))

    def moved(self, old: bytes, new: bytes) -> bool:
        """The app is about to move the directory ``old`` of the full image to ``new``.

        :returns: whether that is where it lay in the full image.
        """
        origin = self.origin(old) or self._own_name(old)
        self._forget(self._own_name(old))
        target = self._own_name(new)
        self._forget(target)
        if origin == target:
            self._created -= {new, target}
            return True
        self._moved[target] = origin
        return False

    @property
    def has_moved(self) -> bool:
        """Whether a directory of the full image lies elsewhere now."""
        return bool(self._moved)

    def exchanged(self, one: bytes, other: bytes) -> None:
        """The app is about to exchange two names."""
        names = self._own_name(one), self._own_name(other)
        origins = self.origin(one) or names[0], self.origin(other) or names[1]
        for name, origin in zip(names, reversed(origins), strict=True):
            self._forget(name)
            if name != origin:
                self._moved[name] = origin

    def _forget(self, name: bytes) -> None:
        """What was moved to ``name`` or below lies there no more."""
        for new in [new for new in self._moved if (new + b"/").startswith(name + b"/")]:
            del self._moved[new]

    def linked(self, path: bytes, status: os.stat_result | None) -> None:
        """The app is about to give a file of the full image another name."""
        if status is not None:
            self._pristine[status.st_dev, status.st_ino] = self._own_name(path)

    def deleted(self, place: PathState) -> None:
        """The app is about to delete a name."""
        own = self._own_name(place.path)
        if self._moved:
            self._forget(own)
        if place.state is State.CREATED and place.status and stat.S_ISREG(place.status.st_mode):
            self._created -= {place.path, own}

    def origin(self, path: bytes) -> bytes | None:
        """Where in the full image lay what the app moved to ``path``, or to a folder above it."""
        if not self._moved:
            return None
        own = self._own_name(path)
        for new, old in self._moved.items():
            if own == new or own.startswith(new + b"/"):
                return old + own[len(new) :]
        return None

    def put_aside(self, path: bytes, *, deep: bool = True) -> None:
        """The app is about to change, move or delete what lies at ``path``, its own path.

        Nothing is done for what the run made, unless it is another name for a file that it
        did not make; nor in an image, whose pristine tree lies below and does not change.

        :param deep: False where a directory changes, but nothing below it.
        """
        if self.view.is_inside:
            return
        self.flush()  # there the names are learnt of files that have several
        state, status = self.state(path, follow=False)
        if status is None:
            return
        if state is not State.FILE:
            pristine = self._pristine.get((status.st_dev, status.st_ino))
            if pristine is None:
                return
            path = pristine
        try:
            for saved in self._custody.keep(path, deep=deep):
                self._writer.saved(saved)
        except OSError as error:
            self.gap("not-put-aside", f"{os.fsdecode(path)}: {error.strerror}")

    def syscall(self, name: str) -> None:
        if name not in self._syscalls:
            self._syscalls.add(name)
            self._writer.syscall(name)

    def argument(self, name: str, value: int) -> None:
        """A system call had this value for the argument that tells most (Trace.arguments)."""
        if (name, value) not in self._arguments:
            self._arguments.add((name, value))
            self._writer.argument(name, value)

    def narrow(self) -> None:
        """A call came by the 32-bit ABI of a 64-bit machine."""
        if not self._is_narrow:
            self._is_narrow = True
            self._writer.narrow()

    def counted(self, counts: Mapping[str, int]) -> None:
        """How often each system call was made, where all were stopped."""
        for name in counts:
            self.syscall(name)
        self._writer.counted(counts)

    def listening(self, port: ListeningPort) -> None:
        if port not in self._ports:
            self._ports[port] = None
            self._writer.listening(port)

    def first_port(self) -> int | None:
        """The first TCP port on which the app listened; None before that."""
        return next((port.port for port in [*self._ports] if port.protocol == "tcp"), None)

    def gap(self, kind: str, detail: str) -> None:
        self.complete = self.complete and not loses_files(kind)
        details = self._gaps.setdefault(kind, set())
        if detail not in details and len(details) < _MOST_GAPS:
            details.add(detail)
            self._writer.gap(Gap(kind, detail))

    def _own_name(self, path: bytes) -> bytes:
        return own_name(self.view, path)

    @property
    def files(self) -> int:
        """How many paths of the full image were touched."""
        return len(self._files)

    @property
    def gaps(self) -> dict[str, int]:
        """How many gaps of each kind were written."""
        return {kind: len(details) for kind, details in self._gaps.items()}
