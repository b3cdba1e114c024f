"""A socket for http.client whose whole exchange has one deadline.

A timeout of a socket is for each call: a server that sends a byte now and then never meets it.
"""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    ShouldEnd = Callable[[], bool]
    """Asked again and again while an answer is awaited; the exchange ends when it returns True."""

_SLICE_SECONDS = 0.2
"""How often to ask whether the exchange should end."""
_REST_SECONDS = 1.0
"""How long an exchange that should end may take to receive what was sent already."""


def never() -> bool:
    """An exchange that only its deadline ends."""
    return False


class DeadlineSocket:
    """What http.client uses of a socket.

    :ivar deadline: as time.monotonic() gives it; a call may take a fifth of a second longer.
    """

    def __init__(self, connection: socket.socket, deadline: float, should_end: ShouldEnd) -> None:
        self._socket = connection
        self.deadline = deadline
        self._should_end = should_end

    def sendall(self, data: Any) -> None:
        """Send all bytes.

        :raises OSError: they could not be sent in time.
        """
        left = memoryview(data)
        while left:
            left = left[self._wait_for(lambda: self._socket.send(left)) :]  # noqa: B023 -- called at once

    def receive_into(self, buffer: Any) -> int:
        """Receive some bytes; 0 at the end.

        :raises OSError: none came in time.
        """
        return self._wait_for(lambda: self._socket.recv_into(buffer))

    def makefile(self, *_: object, **__: object) -> io.BufferedReader:
        """A file of what is received."""
        return io.BufferedReader(_Received(self))

    def close(self) -> None:
        """Do nothing: http.client closes its connection before the body is read."""

    def end(self) -> None:
        """Close the socket."""
        self._socket.close()

    def _wait_for(self, call: Callable[[], int]) -> int:
        """Repeat a call until it does not time out; also TLS continues after a timeout."""
        while (left := self.deadline - time.monotonic()) > 0:
            if self._should_end():
                self.deadline = min(self.deadline, time.monotonic() + _REST_SECONDS)
            self._socket.settimeout(min(left, _SLICE_SECONDS))
            try:
                return call()
            except TimeoutError:
                continue
        raise TimeoutError("timed out")


class _Received(io.RawIOBase):
    def __init__(self, source: DeadlineSocket) -> None:
        self._source = source

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._source.receive_into(buffer)
