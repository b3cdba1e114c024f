"""Turns decoded calls into lines of the trace, each fact once."""

from __future__ import annotations

import os
import stat
import threading
import time
from typing import TYPE_CHECKING

from slimtrace.tracer.paths import KERNELS
from slimtrace.tracer.process.root_view import HOST_VIEW
from slimtrace.tracer.record.path_history import PathHistory
from slimtrace.tracer.record.preserve import Preserver
from slimtrace.tracer.record.repeats import Repeats
from slimtrace.tracer.record.write_queue import WriteQueue
from slimtrace.tracer.trace.gaps import loses_files
from slimtrace.tracer.trace.trace import Gap, ListeningPort, PathState, ProcessImage, State, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.trace.writer import TraceWriter

_MAX_SHARED_TOUCHES = 20_000
"""Lists of touches whose trace lines are kept for reuse by other process images."""


class Recorder:
    """Records the facts of one run. Two threads use it: one answers calls, one follows processes.

    Methods named ``queue_…`` write nothing themselves; ``queue`` writes it later.

    :ivar view: access to the app's files.
    :ivar history: what is at a path, and whether the run created it.
    :ivar queue: writes that wait until the call is answered.
    :ivar complete: False once a gap says that files may be missing.
    """

    def __init__(
        self, writer: TraceWriter, run: int, first_process: int, view: RootView = HOST_VIEW
    ) -> None:
        self.view = view
        self.history = PathHistory(view)
        self.queue = WriteQueue(writer)
        self.complete = True
        self._writer = writer
        self._run = run
        self._next_process = first_process
        self._lock = threading.Lock()
        self._began = time.monotonic()
        # The app does not need the trace and its folder. In an image they do not exist.
        self._trace = b"\0" if view.is_sandbox else os.fsencode(writer.path)
        self._trace_folder = os.fsencode(writer.folder) + b"/"
        self._preserver = Preserver(writer.folder)
        self._repeats = Repeats()
        self._shared: dict[int, tuple[Sequence[tuple[Use, PathState]], list[bytes]]] = {}
        self._ports: list[ListeningPort] = []
        self._kernel_ports: list[ListeningPort] = []
        self._datagram_ports: dict[int, int] = {}
        """Inode of a bound datagram socket → its port."""

    def flush(self) -> None:
        """Write what is in the queue."""
        self.queue.flush()

    def elapsed_seconds(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    # Process images

    def record_process(self, parent_image: int | None, exe: str, argv: tuple[str, ...]) -> int:
        """Record the process image that an exec made; return its id."""
        ident = self.reserve_process()
        self.describe_process(ident, parent_image, exe, argv)
        return ident

    def reserve_process(self) -> int:
        """Reserve an id for a process image, which :meth:`describe_process` describes later."""
        with self._lock:
            ident = self._next_process
            self._next_process += 1
        return ident

    def describe_process(
        self, process: int, parent_image: int | None, exe: str, argv: tuple[str, ...]
    ) -> None:
        """Record the parent, program and arguments of a process image."""
        self._writer.write_process(ProcessImage(process, parent_image, self._run, exe, argv))
        self._writer.begin()

    def record_exit(self, process: int, status: int) -> None:
        """Record that a process image ended."""
        self.queue.flush()
        self._writer.write_exit(process, status)

    def queue_exit(self, process: int, status: int) -> None:
        self.queue.add(self._writer.write_exit, process, status)

    # Touches

    def record_touches(self, process: int, touches: Iterable[tuple[Use, PathState]]) -> None:
        """Write the touches that this process image did not make before."""
        self.queue.flush()
        self._write_touches(process, touches, self.elapsed_seconds())

    def queue_touches(self, process: int, touches: Iterable[tuple[Use, PathState]]) -> None:
        self.queue.pending.append((self._write_touches, (process, touches, self.elapsed_seconds())))

    def queue_shared_touches(self, process: int, touches: Sequence[tuple[Use, PathState]]) -> None:
        """Write later the touches of a call that several process images make.

        The caller must pass each call of a process image only once (see CallCache).
        """
        self.queue.pending.append((self._write_shared, (process, touches, self.elapsed_seconds())))

    def _write_shared(
        self, process: int, touches: Sequence[tuple[Use, PathState]], seconds: float
    ) -> None:
        known = self._shared.get(id(touches))
        if known is not None:
            if known[1]:
                self._writer.write_touches(seconds, process, known[1])
            return
        if len(self._shared) >= _MAX_SHARED_TOUCHES:
            self._shared.clear()
        lines, new = list[bytes](), list[bytes]()
        for use, place in touches:
            if self._is_trace_file(place.path):
                continue
            line = self._writer.format_touch(use, place)
            lines.append(line)
            if self._is_new(process, use, place):
                new.append(line)
        self._shared[id(touches)] = touches, lines  # the reference keeps the id from being reused
        if new:
            self._writer.write_touches(seconds, process, new)

    def _write_touches(
        self, process: int, touches: Iterable[tuple[Use, PathState]], seconds: float
    ) -> None:
        lines = [
            self._writer.format_touch(use, place)
            for use, place in touches
            if not self._is_trace_file(place.path) and self._is_new(process, use, place)
        ]
        if lines:
            self._writer.write_touches(seconds, process, lines)

    def _is_trace_file(self, path: bytes) -> bool:
        """Whether the path is the trace or in its folder: the app does not need these."""
        return path.startswith(self._trace) and (
            path == self._trace or (path + b"/").startswith(self._trace_folder)
        )

    def _is_new(self, process: int, use: Use, place: PathState) -> bool:
        """Whether the process image makes this touch for the first time."""
        if not self._repeats.is_new_touch(process, use, place):
            return False
        if place.status is not None and place.status.st_nlink > 1:
            self._note_link(place, place.status)
        return True

    # Copies of files

    def _note_link(self, place: PathState, status: os.stat_result) -> None:
        """Note a file with several names: a change under one name changes it under all."""
        if place.state is not State.FILE or not stat.S_ISREG(status.st_mode):
            return
        if self.view.is_sandbox or place.path.startswith(KERNELS):  # its target has its own touch
            return
        if self._repeats.is_new("name", place.path, status.st_dev, status.st_ino):
            for saved in self._preserver.add_name(self.view.resolve_path(place.path), status):
                self._writer.write_saved_file(saved)

    def save_copy(self, path: bytes, *, deep: bool = True) -> None:
        """Save a copy of what is at ``path``, which the app is about to change, move or delete.

        A file that the run created is not saved, unless that is another name of an older file.
        In an image nothing is saved: the overlay's lower tree does not change.

        :param path: with symlinks resolved.
        :param deep: False if a directory changes, but not its content.
        """
        if self.view.is_sandbox:
            return
        self.queue.flush()  # this notes the names of files with several names
        name = self.history.find_original_name(path)
        if name is None:
            return
        try:
            for saved in self._preserver.save(name, deep=deep):
                self._writer.write_saved_file(saved)
        except OSError as error:
            self.record_gap("not-put-aside", f"{os.fsdecode(name)}: {error.strerror}")

    # Facts about the run

    def record_syscall(self, name: str) -> None:
        """Record that a system call was made."""
        if self._repeats.is_new("syscall", name):
            self._writer.write_syscall(name)

    def record_argument(self, name: str, value: int) -> None:
        """Record the value of a system call's most important argument (Trace.arguments)."""
        if self._repeats.is_new("argument", name, value):
            self._writer.write_argument(name, value)

    def record_narrow_call(self) -> None:
        """Record that the app used the 32-bit ABI of a 64-bit machine."""
        if self._repeats.is_new("narrow"):
            self._writer.write_narrow_call()

    def record_counts(self, counts: Mapping[str, int]) -> None:
        """Record how often each system call was made, if the engine stopped all calls."""
        for name in counts:
            self.record_syscall(name)
        self._writer.write_counts(counts)

    def record_listening_port(self, port: ListeningPort) -> None:
        """Record that the app accepts traffic on a port."""
        if self._repeats.is_new("port", port):
            self._ports.append(port)
            self._writer.write_listening_port(port)

    def note_kernel_port(self, port: ListeningPort) -> None:
        """Note a port that the kernel chose: it is not written, as each run has another one."""
        self._kernel_ports.append(port)

    def note_datagram_port(self, socket: int, port: int | None) -> None:
        """Note where a datagram socket was bound; whether it serves is known at the end.

        :param socket: its inode.
        :param port: None if it is a client's: it was connected, or the kernel chose its port.
        """
        if port is None:
            self._datagram_ports.pop(socket, None)
        else:
            self._datagram_ports[socket] = port

    @property
    def has_datagram_ports(self) -> bool:
        """Whether a datagram socket is bound that may serve."""
        return bool(self._datagram_ports)

    def record_datagram_ports(self) -> None:
        """Record at the end of the run the ports of datagram sockets that served."""
        for port in dict.fromkeys(self._datagram_ports.values()):
            self.record_listening_port(ListeningPort("udp", port))

    def find_first_port(self) -> int | None:
        """Return the first TCP port on which the app listened; None if there is none yet.

        A port that the app chose comes before one that the kernel chose.
        """
        return next(iter(self.list_tcp_ports()), None)

    def list_tcp_ports(self) -> list[int]:
        """Return the TCP ports on which the app listened; see :meth:`find_first_port`."""
        ports = [*self._ports, *self._kernel_ports]
        return [port.port for port in ports if port.protocol == "tcp"]

    def record_gap(self, kind: str, detail: str) -> None:
        """Record that the tracer may have missed something."""
        self.complete = self.complete and not loses_files(kind)
        if self._repeats.is_new_gap(kind, detail):
            self._writer.write_gap(Gap(kind, detail))

    @property
    def files(self) -> int:
        """How many paths of the full image were touched."""
        return self._repeats.file_count

    @property
    def gaps(self) -> dict[str, int]:
        """How many gaps of each kind were written."""
        return self._repeats.gap_counts
