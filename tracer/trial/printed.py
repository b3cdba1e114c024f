"""What an app prints: its last lines are kept, the rest goes nowhere."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from slimtrace.tracer.console import verbosity
from slimtrace.tracer.drive.lines import Lines

if TYPE_CHECKING:
    import re
    from collections.abc import Mapping

_CHUNK = 1 << 16
_MOMENT = 2.0
"""Seconds for what was written to come by once nobody can write any more."""


class Printed:
    """The app's streams: nothing to read, and a pipe for both of the others.

    :ivar places: the app's descriptors to what is to be put there.
    :ivar lines: what came by.
    """

    def __init__(self, pattern: re.Pattern[str] | None) -> None:
        self.lines = Lines(pattern)
        self._source, self._end = os.pipe()
        # Not /dev/null: the app's streams are given to its user.
        self._nothing = os.memfd_create("stdin")
        self.places: Mapping[int, int] = {0: self._nothing, 1: self._end, 2: self._end}
        self._thread = threading.Thread(target=self._read, name="printed", daemon=True)

    def start(self) -> None:
        """The app has its ends."""
        self._close_ends()
        self._thread.start()

    def finish(self) -> tuple[str, ...]:
        """All its processes have ended: the last lines."""
        self._thread.join(_MOMENT)
        return self.lines.last(set())

    def close(self) -> None:
        """Where it never was started."""
        if self._close_ends():
            os.close(self._source)

    def _close_ends(self) -> bool:
        if self._end < 0:
            return False
        os.close(self._end)
        os.close(self._nothing)
        self._end = -1
        return True

    def _read(self) -> None:
        with open(self._source, "rb", buffering=0) as file:
            while data := file.read(_CHUNK):
                self.lines.feed(1, data)
                if verbosity.verbose:
                    os.write(2, data)
