"""Writes the answers of an app in full, and collects what commands print."""

from __future__ import annotations

import os
import select
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.trace.answers import MAX_BODY_BYTES, Answer, format_answer

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK_BYTES = 1 << 16
_POLL_SECONDS = 0.05


class Content(NamedTuple):
    """What an action was answered, besides its status.

    :ivar size: the bytes of the whole body, of which ``body`` has the first.
    """

    media_type: str = ""
    body: bytes = b""
    size: int = 0


class AnswerLog:
    """The answers of one run.

    :ivar output: the descriptor for what commands print.
    """

    def __init__(self, path: str) -> None:
        """:raises SlimtraceError: the file cannot be written."""
        try:
            self._file = open(path, "xb", buffering=0)  # noqa: SIM115 -- closed by close()
        except OSError as error:
            raise SlimtraceError(f"cannot write {path}: {error.strerror}") from error
        # A pipe, because commands may open /dev/stdout, which would truncate a file.
        self._source, self.output = os.pipe()
        os.set_blocking(self._source, False)
        self._printed = bytearray()
        self._size = 0
        self._lock = threading.Lock()
        self._is_over = threading.Event()
        self._thread: threading.Thread | None = None
        self._elapsed_seconds: Callable[[], float] = float

    def start(self, elapsed_seconds: Callable[[], float]) -> None:
        """Start to collect; call this after the app has its descriptors.

        :param elapsed_seconds: the time since the start of the run.
        """
        self._elapsed_seconds = elapsed_seconds
        self._thread = threading.Thread(target=self._collect, name="answers", daemon=True)
        self._thread.start()

    def now(self) -> float:
        """The time, as the log has it."""
        return round(self._elapsed_seconds(), 6)

    def add(
        self,
        driver: str,
        status: int | None,
        began: float,
        content: Content = Content(),  # noqa: B008 -- it cannot change
        failure: str | None = None,
    ) -> None:
        """Write an answer that came now.

        :param began: when its action began, by :meth:`now`.
        """
        answer = Answer(driver, status, began, self.now(), *content, failure)
        self._file.write(format_answer(answer))

    def take_output(self) -> Content:
        """What commands printed since the last time."""
        with self._lock:
            self._read()
            content = Content("", bytes(self._printed), self._size)
            self._printed, self._size = bytearray(), 0
        return content

    def close(self) -> None:
        """Close the file and the pipe."""
        self._is_over.set()
        if self._thread is not None:
            self._thread.join()
        if not self._file.closed:
            self._file.close()
            os.close(self._source)
            os.close(self.output)

    def _collect(self) -> None:
        poll = select.poll()
        poll.register(self._source, select.POLLIN)
        while not self._is_over.is_set():
            if poll.poll(_POLL_SECONDS * 1000):
                with self._lock:
                    self._read()

    def _read(self) -> None:
        """Read what is in the pipe."""
        with suppress(BlockingIOError):
            while data := os.read(self._source, _CHUNK_BYTES):
                self._size += len(data)
                self._printed += data[: max(0, MAX_BODY_BYTES - len(self._printed))]
