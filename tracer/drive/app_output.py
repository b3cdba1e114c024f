"""Relays the app's stdout and stderr, unchanged, to slimtrace's own.

Each stream is replaced with a pipe, and a terminal with a pseudo-terminal, so that the app buffers
and colours its output as usual. If stdout and stderr are the same file, one pipe replaces both, so
that the order of the output stays.
"""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slimtrace.tracer.caution import Caution
from slimtrace.tracer.console import verbosity, warn
from slimtrace.tracer.engines.signals import TERMINATION_SIGNALS
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.tracer.drive.ready import LogLine
    from slimtrace.tracer.engines.app import App

_MAX_LINES = 10
_MAX_LINE_BYTES = 1 << 14
"""Bytes of a line that are looked at."""


class LastLines:
    """The last lines of several streams together; each stream has its own thread.

    :ivar matched: set when as many lines as are awaited, complete or not, matched.
    """

    def __init__(self, awaited: LogLine | None = None) -> None:
        self.matched = threading.Event()
        self._awaited = awaited
        self._complete_matches = 0
        self._lock = threading.Lock()
        self._last: deque[tuple[int, bytes]] = deque(maxlen=_MAX_LINES)
        self._begun: dict[int, bytes] = {}

    def feed(self, stream: int, data: bytes) -> None:
        """Add data of a stream."""
        with self._lock:
            *whole, begun = (self._begun.get(stream, b"") + data).split(b"\n")
            self._begun[stream] = begun[-_MAX_LINE_BYTES:]
            self._last.extend((stream, line[-_MAX_LINE_BYTES:]) for line in whole[-_MAX_LINES:])
            if self._awaited is not None and not self.matched.is_set():
                self._complete_matches += sum(map(self._is_match, whole))
                if self._count_matches() >= self._awaited.count:
                    self.matched.set()

    @property
    def matches(self) -> int:
        """The number of lines that matched up to now."""
        with self._lock:
            return self._count_matches()

    def _count_matches(self) -> int:
        return self._complete_matches + sum(map(self._is_match, self._begun.values()))

    def _is_match(self, line: bytes) -> bool:
        awaited = self._awaited
        return awaited is not None and awaited.pattern.search(_decode(line)) is not None

    def last(self, hidden: set[int]) -> tuple[str, ...]:
        """Return the last lines, oldest first, except those of the ``hidden`` streams."""
        with self._lock:
            lines = [*self._last, *self._begun.items()]
        shown = [_decode(line) for stream, line in lines if stream not in hidden]
        return tuple(line for line in shown if line.strip())[-_MAX_LINES:]


def _decode(line: bytes) -> str:
    return line.rstrip(b"\r").decode(errors="replace")


_JOIN_SECONDS = 2.0
"""How long to wait for the rest of the output after all writers have ended."""


class CapturedOutput:
    """Captures the app's output: stdin is empty, stdout and stderr share a pipe.

    :ivar descriptors: descriptor of the app → our descriptor that replaces it.
    :ivar lines: the last lines of the output.
    """

    def __init__(self, awaited: LogLine | None) -> None:
        self.lines = LastLines(awaited)
        self._source, self._end = os.pipe()
        # Not /dev/null: the app's user becomes the owner of its streams.
        self._empty_input = os.memfd_create("stdin")
        self.descriptors: Mapping[int, int] = {0: self._empty_input, 1: self._end, 2: self._end}
        self._thread = threading.Thread(target=self._read, name="printed", daemon=True)

    def start(self) -> None:
        """Start reading; call this after the app has its descriptors."""
        self._close_ends()
        self._thread.start()

    def finish(self) -> tuple[str, ...]:
        """Return the last lines; call this after all processes of the app have ended."""
        self._thread.join(_JOIN_SECONDS)
        return self.lines.last(set())

    def close(self) -> None:
        """Close the descriptors if reading never started."""
        if self._close_ends():
            os.close(self._source)

    def _close_ends(self) -> bool:
        if self._end < 0:
            return False
        os.close(self._end)
        os.close(self._empty_input)
        self._end = -1
        return True

    def _read(self) -> None:
        with open(self._source, "rb", buffering=0) as file:
            while data := file.read(_CHUNK_BYTES):
                self.lines.feed(1, data)
                if verbosity.verbose:
                    os.write(2, data)


_STANDARD = (1, 2)
_CHUNK_BYTES = 1 << 16
_POLL_SECONDS = 0.05
_WINSIZE_BYTES = struct.calcsize("4H")  # struct winsize (ioctl_tty(2))


@dataclass(slots=True)
class _Stream:
    """One stream of the app, or both if they are the same file.

    :ivar number: our descriptor that its output goes to.
    :ivar source: the non-blocking end from which we read.
    :ivar end: the end that the app writes to.
    """

    number: int
    source: int
    end: int
    is_terminal: bool
    thread: threading.Thread | None = field(default=None, repr=False)


class OutputRelay:
    """Relays the output of the app.

    :ivar descriptors: descriptor of the app → our descriptor that replaces it.
    :ivar lines: the last lines of the output.
    """

    def __init__(self, awaited: LogLine | None, *, is_quiet: bool = False) -> None:
        """Replace the streams that are not terminals; where a line is awaited, terminals too.

        :param is_quiet: whether only to look at the output, and to write it nowhere.
        :raises SlimtraceError: a line is awaited, but there is no stream to search.
        """
        self.lines = LastLines(awaited)
        self.descriptors: Mapping[int, int] = {}
        self._streams: list[_Stream] = []
        self._wake = os.eventfd(0, os.EFD_CLOEXEC)
        self._is_over = False
        self._is_quiet = is_quiet
        try:
            self.descriptors = self._replace_streams(terminals=awaited is not None)
        except OSError as error:
            self.close()
            raise SlimtraceError(f"cannot read what the app prints: {error.strerror}") from error
        if awaited is not None and not self.descriptors:
            self.close()
            raise SlimtraceError("cannot wait for a line of the app: its output is closed")

    def _replace_streams(self, *, terminals: bool) -> dict[int, int]:
        places: dict[int, int] = {}
        known: dict[tuple[int, int], int] = {}
        for number in _STANDARD:
            try:
                status, flags = os.fstat(number), fcntl.fcntl(number, fcntl.F_GETFL)
                is_ours = bool(fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC)
            except OSError:  # it is closed, and stays closed for the app
                continue
            if is_ours:  # it was closed, and a file that we opened got its number
                continue
            is_terminal = os.isatty(number)
            if flags & os.O_ACCMODE == os.O_RDONLY or (is_terminal and not terminals):
                continue
            same = status.st_dev, status.st_ino
            if same not in known:
                source, end = _open_terminal(number) if is_terminal else os.pipe()
                os.set_blocking(source, False)
                known[same] = end
                self._streams.append(_Stream(number, source, end, is_terminal))
            places[number] = known[same]
        return places

    def start(self, app: App) -> None:
        """Start the relay; call this after the app has its descriptors."""
        for stream in self._streams:
            if not stream.is_terminal:  # reading a terminal fails after all other ends are closed
                os.close(stream.end)
                stream.end = -1
            stream.thread = threading.Thread(
                target=self._relay, args=(stream,), name="output", daemon=True
            )
            stream.thread.start()
        if any(stream.is_terminal for stream in self._streams):
            app.add_periodic_task(lambda: self._follow_size(app))

    def settle(self, seconds: float) -> None:
        """Wait, after the app's end, up to ``seconds`` until its output is written."""
        self._signal_end()
        for thread in self._threads():
            thread.join(seconds)

    def finish(self) -> None:
        """Like :meth:`settle`, without a time limit, until a signal that ends slimtrace arrives.

        The caller must block these signals.
        """
        self._signal_end()
        for thread in self._threads():
            while thread.is_alive() and signal.sigtimedwait(TERMINATION_SIGNALS, 0) is None:
                thread.join(_POLL_SECONDS)
        self.close()

    def last_lines(self) -> tuple[str, ...]:
        """Return the app's last lines, except those that our terminal shows already."""
        if not os.isatty(2):
            return self.lines.last(set())
        return self.lines.last({s.number for s in self._streams if os.isatty(s.number)})

    def close(self) -> None:
        """Close the descriptors that are not in use any more."""
        for stream in self._streams:
            if stream.end >= 0:
                os.close(stream.end)
                stream.end = -1
            if stream.thread is None:
                os.close(stream.source)
        if self._wake >= 0 and not any(thread.is_alive() for thread in self._threads()):
            os.close(self._wake)
            self._wake = -1
        self._streams = []

    def _threads(self) -> Iterator[threading.Thread]:
        return (stream.thread for stream in self._streams if stream.thread is not None)

    def _signal_end(self) -> None:
        """Make the relay threads end, even if another process still has a stream open."""
        self._is_over = True
        os.eventfd_write(self._wake, 1)

    def _relay(self, stream: _Stream) -> None:
        """Relay a stream until there are no writers, or our reader is gone.

        In the second case the app gets EPIPE, because this closes the source.
        """
        poll = select.poll()
        poll.register(stream.source, select.POLLIN)
        poll.register(self._wake, select.POLLIN)
        try:
            while True:
                is_over = self._is_over
                try:
                    data = os.read(stream.source, _CHUNK_BYTES)
                except BlockingIOError:
                    if is_over:
                        return
                    poll.poll()
                    continue
                if not data:
                    return
                self.lines.feed(stream.number, data)
                if not self._is_quiet:
                    _write(stream.number, data)
        except BrokenPipeError:
            return
        except OSError as error:
            fact = f"the app's output is cut off: {error.strerror}"
            warn(Caution(fact, "the trace is not affected; send the output elsewhere"))
        finally:
            os.close(stream.source)

    def _follow_size(self, app: App) -> None:
        """Give the pseudo-terminal the size of our terminal, and send SIGWINCH if it changed."""
        for stream in self._streams:
            if stream.is_terminal and stream.end >= 0:
                with suppress(OSError):
                    ours, its = _get_size(stream.number), _get_size(stream.end)
                    if ours != its:
                        fcntl.ioctl(stream.end, termios.TIOCSWINSZ, ours)
                        app.send(signal.SIGWINCH)


def _write(number: int, data: bytes) -> None:
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(number, left) :]
        except BlockingIOError:  # another process made the shared file non-blocking
            poll = select.poll()
            poll.register(number, select.POLLOUT)
            poll.poll()


def _open_terminal(number: int) -> tuple[int, int]:
    """Open a pseudo-terminal like our terminal, but without output processing and echo."""
    master, slave = os.openpty()
    attributes = termios.tcgetattr(number)
    attributes[1] &= ~termios.OPOST  # termios(3), c_oflag
    attributes[3] &= ~termios.ECHO
    termios.tcsetattr(slave, termios.TCSANOW, attributes)
    fcntl.ioctl(slave, termios.TIOCSWINSZ, _get_size(number))
    return master, slave


def _get_size(terminal: int) -> bytes:
    return fcntl.ioctl(terminal, termios.TIOCGWINSZ, bytes(_WINSIZE_BYTES))
