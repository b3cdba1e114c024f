"""What an app said: its last lines, and whether one of them matched."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import re

_MOST = 10
_LONGEST = 1 << 14
"""Bytes of a line that are looked at."""


class Lines:
    """Of several streams together, each fed by a thread of its own.

    :ivar matched: set when a line, whole or not yet, matched the pattern.
    """

    def __init__(self, pattern: re.Pattern[str] | None = None) -> None:
        self.matched = threading.Event()
        self._pattern = pattern
        self._lock = threading.Lock()
        self._last: deque[tuple[int, bytes]] = deque(maxlen=_MOST)
        self._begun: dict[int, bytes] = {}

    def feed(self, stream: int, data: bytes) -> None:
        """More of a stream."""
        with self._lock:
            *whole, begun = (self._begun.get(stream, b"") + data).split(b"\n")
            self._begun[stream] = begun[-_LONGEST:]
            self._last.extend((stream, line[-_LONGEST:]) for line in whole[-_MOST:])
        if self._pattern is not None and not self.matched.is_set():
            search = self._pattern.search
            if any(search(_text(line)) for line in (*whole, begun[-_LONGEST:])):
                self.matched.set()

    def last(self, hidden: set[int]) -> tuple[str, ...]:
        """The last lines, oldest first, without those of the streams that are ``hidden``."""
        with self._lock:
            lines = [*self._last, *self._begun.items()]
        said = [_text(line) for stream, line in lines if stream not in hidden]
        return tuple(line for line in said if line.strip())[-_MOST:]


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode(errors="replace")
