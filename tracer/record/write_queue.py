"""A queue of writes that wait until the call is answered."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.tracer.trace.writer import TraceWriter

Task = tuple["Callable[..., None]", tuple[Any, ...]]
"""A function and its arguments."""


class WriteQueue:
    """Runs tasks that write to the trace, in the order in which they were added.

    A task is added while the app waits for its call. It runs after the call is answered and before
    the next call is received. So the app does not wait for the disk, and the lines stay in order.
    Two threads add tasks: the one that answers calls and the one that follows processes.

    :ivar pending: the tasks. Code that adds a task must make sure that :meth:`flush` is called.
        The hot loops use this queue directly, because a method call costs time there.
    """

    def __init__(self, writer: TraceWriter) -> None:
        self.pending: deque[Task] = deque()
        self._writer = writer
        self._lock = threading.RLock()  # a task may flush: save_copy does
        self._is_writing = False

    def add(self, function: Callable[..., None], *arguments: object) -> None:
        self.pending.append((function, arguments))

    def flush(self) -> None:
        """Run the pending tasks, and wait for those that another thread runs."""
        pending = self.pending
        if not (pending or self._is_writing):
            return
        with self._lock:
            self._is_writing = True
            self._writer.begin_batch()
            try:
                while pending:
                    function, arguments = pending.popleft()
                    function(*arguments)
            finally:
                self._writer.write_batch()
                self._is_writing = False
