"""Asks a web service: one GET, of which the status counts."""

from __future__ import annotations

import os
import re
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from slimtrace.tracer.startup.trial import HttpAnswer

if TYPE_CHECKING:
    import http.client

    from slimtrace.tracer.startup.trial import ListeningSocket

_SECONDS = 10.0
_MOST = 1 << 12
_STATUS = re.compile(rb"(HTTP/1\.[01]) ([1-5]\d\d)(?: |\r?\n)")  # RFC 9112, section 4
_ANYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 -- what is said, not bound


def host_of(listener: ListeningSocket) -> str:
    """The address by which it can be reached from here."""
    return _ANYWHERE.get(listener.address, listener.address)


def ask(listener: ListeningSocket, path: str) -> HttpAnswer:
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
        return HttpAnswer(None, failure=(error.strerror or str(error)).lower())
    found = _STATUS.match(head)
    if found is None:
        said = repr(head[:40])[2:-1]
        return HttpAnswer(
            None, failure=f"it said {said!r}" if head else "it hung up without a word"
        )
    return HttpAnswer(int(found[2]), found[1].decode())


_CHUNK = 1 << 16
_KEPT = "/?:@!$&'()*+,;=-._~%[]"
"""What may stand in a request's target as it is (RFC 3986)."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where an app can be asked.

    :ivar path: of a unix socket, to be connected to in the place of ``host`` and ``port``.
    """

    host: str
    port: int
    scheme: str = "http"
    path: str | None = None

    @property
    def url(self) -> str:
        """Without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def address_of(url: str) -> Address:
    """Where a URL leads."""
    parts = urlsplit(url)
    usual = 443 if parts.scheme == "https" else 80
    return Address(parts.hostname or "", parts.port or usual, parts.scheme)


def target_of(url: str) -> str:
    """The path of a URL with its query."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def get(address: Address, target: str, seconds: float) -> int:
    """The status that a GET is answered with; the answer is read to its end, or for ``seconds``.

    :param target: the path with its query.
    :raises OSError: there was no answer in time.
    :raises ValueError: what came is no answer in HTTP.
    """
    import http.client  # noqa: PLC0415 -- slow to import

    deadline = time.monotonic() + seconds
    connection = _connection(address, seconds)
    try:
        where = quote(os.fsencode(target), safe=_KEPT)
        connection.request("GET", where, headers={"Connection": "close"})
        answer = connection.getresponse()
        while time.monotonic() < deadline and _more(answer):
            continue
    except http.client.RemoteDisconnected as error:  # a ConnectionResetError: no answer at all
        raise OSError(str(error)) from error
    except http.client.HTTPException as error:
        raise ValueError(f"{type(error).__name__} {error}".strip()) from error
    finally:
        connection.close()
    return answer.status


def _more(answer: http.client.HTTPResponse) -> bytes:
    """The next bytes of an answer that has its status: it may break off, or never end."""
    import http.client  # noqa: PLC0415 -- it is there

    try:
        return answer.read1(_CHUNK)
    except (OSError, http.client.HTTPException):
        return b""


def _connection(address: Address, seconds: float) -> http.client.HTTPConnection:
    import http.client  # noqa: PLC0415 -- slow to import

    if address.path is not None:
        connection = http.client.HTTPConnection("localhost", timeout=seconds)
        connection.sock = _connected(address.path, seconds)
        return connection
    if address.scheme == "http":
        return http.client.HTTPConnection(address.host, address.port, timeout=seconds)
    import ssl  # noqa: PLC0415 -- slower still

    # Readiness is asked, not identity: a service under test has a certificate of its own.
    context = ssl._create_unverified_context()  # noqa: S323, SLF001
    return http.client.HTTPSConnection(address.host, address.port, timeout=seconds, context=context)


def _connected(path: str, seconds: float) -> socket.socket:
    found = socket.socket(socket.AF_UNIX)
    try:
        found.settimeout(seconds)
        found.connect(path)
    except OSError:
        found.close()
        raise
    return found
