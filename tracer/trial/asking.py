"""One request to a service, as a load balancer's health check makes it."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING

from slimtrace.tracer.trial.tried import Answered

if TYPE_CHECKING:
    from slimtrace.tracer.trial.tried import Listener

_SECONDS = 10.0
_MOST = 1 << 12
_STATUS = re.compile(rb"(HTTP/1\.[01]) ([1-5]\d\d)(?: |\r?\n)")  # RFC 9112, section 4
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- what is said, not bound


def host_of(listener: Listener) -> str:
    """The address by which it can be reached from here."""
    return _ANYWHERE.get(listener.address, listener.address)


def ask(listener: Listener, path: str) -> Answered:
    """GET a path by HTTP/1.1; only the line with the status is read."""
    request = (
        f"GET {path} HTTP/1.1\r\nHost: localhost:{listener.port}\r\n"
        "User-Agent: slimtrace\r\nAccept: */*\r\nConnection: close\r\n\r\n"
    )
    deadline = time.monotonic() + _SECONDS
    try:
        with socket.create_connection((host_of(listener), listener.port), _SECONDS) as connection:
            connection.sendall(request.encode("latin-1", "replace"))
            head = b""
            while b"\n" not in head and len(head) < _MOST and time.monotonic() < deadline:
                data = connection.recv(_MOST)
                if not data:
                    break
                head += data
    except OSError as error:
        return Answered(None, failure=(error.strerror or str(error)).lower())
    found = _STATUS.match(head)
    if found is None:
        said = repr(head[:40])[2:-1]
        return Answered(None, failure=f"it said {said!r}" if head else "it hung up without a word")
    return Answered(int(found[2]), found[1].decode())
