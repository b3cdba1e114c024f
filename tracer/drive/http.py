"""Sends requests to an app and reads its answers."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

from slimtrace.tracer.drive.deadline_socket import DeadlineSocket, never

if TYPE_CHECKING:
    import http.client
    from collections.abc import Sequence
    from email.message import Message

    from slimtrace.tracer.drive.deadline_socket import ShouldEnd

_CHUNK_BYTES = 1 << 16
_MAX_QUOTED_CHARS = 40
MAX_BODY_BYTES = 4 << 20
"""Bytes of an answer that are kept; the rest is read and forgotten."""
_UNQUOTED = "/?:@!$&'()*+,;=-._~%[]"
"""Characters that a request target may contain as they are (RFC 3986)."""


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What a server answered (RFC 9112, section 4).

    :ivar version: as ``HTTP/1.1``.
    :ivar body: its first :data:`MAX_BODY_BYTES`, as far as they came in time.
    """

    code: int
    version: str
    headers: Message
    body: bytes


class OutgoingRequest(NamedTuple):
    """A request as it is sent.

    :ivar target: the path with its query.
    """

    method: str
    target: str
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Address:
    """The address of an app's web server.

    :ivar path: of a Unix socket, which is used instead of ``host`` and ``port``.
    """

    host: str
    port: int
    scheme: str = "http"
    path: str | None = None

    @property
    def url(self) -> str:
        """The URL, without a path."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def parse_address(url: str) -> Address:
    """The address in a URL."""
    parts = urlsplit(url)
    default = 443 if parts.scheme == "https" else 80
    return Address(parts.hostname or "", parts.port or default, parts.scheme)


def get_request_target(url: str) -> str:
    """The path of a URL with its query (RFC 9112, section 3.2.1)."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def get(address: Address, target: str, seconds: float) -> ServerAnswer:
    """Send a GET; see :func:`exchange`."""
    return exchange(address, OutgoingRequest("GET", target), seconds)


def exchange(
    address: Address, request: OutgoingRequest, seconds: float, should_end: ShouldEnd = never
) -> ServerAnswer:
    """Send a request, and read the answer to its end, or for ``seconds``.

    :raises OSError: no answer came in time.
    :raises ValueError: the answer is not HTTP/1.
    """
    import http.client  # noqa: PLC0415 -- slow to import

    deadline = time.monotonic() + seconds
    connected = DeadlineSocket(_connect(address, seconds), deadline, should_end)
    connection = http.client.HTTPConnection(address.host or "localhost", address.port)
    connection.sock = connected
    try:
        _send(connection, request)
        answer = connection.getresponse()
        body = _read_body(answer)
    except http.client.RemoteDisconnected as error:  # a ConnectionResetError: no answer at all
        raise OSError(str(error)) from error
    except http.client.BadStatusLine as error:
        raise ValueError(f"it said {str(error)[:_MAX_QUOTED_CHARS]!r}") from error
    except http.client.HTTPException as error:
        raise ValueError(f"{type(error).__name__} {error}".strip()) from error
    finally:
        connected.end()
    version = "HTTP/1.1" if answer.version == 11 else "HTTP/1.0"
    return ServerAnswer(answer.status, version, answer.headers, body)


def _send(connection: http.client.HTTPConnection, request: OutgoingRequest) -> None:
    """Send all in one piece; headers of the request replace those that are always sent."""
    given = {name.lower() for name, _ in request.headers}
    connection.putrequest(
        request.method,
        quote(os.fsencode(request.target), safe=_UNQUOTED),
        skip_host="host" in given,
        skip_accept_encoding=True,
    )
    always = [("Accept-Encoding", "identity"), ("Connection", "close")]
    if request.body is not None or request.method in {"POST", "PUT", "PATCH"}:
        always.append(("Content-Length", str(len(request.body or b""))))
    for name, value in (
        *(pair for pair in always if pair[0].lower() not in given),
        *request.headers,
    ):
        connection.putheader(name, value.encode())
    connection.endheaders(request.body)


def _read_body(answer: http.client.HTTPResponse) -> bytes:
    """Read the body to its end; it may break off or never end."""
    import http.client  # noqa: PLC0415 -- slow to import

    body = bytearray()
    try:
        while chunk := answer.read1(_CHUNK_BYTES):
            body += chunk[: MAX_BODY_BYTES - len(body)]
    except (OSError, http.client.HTTPException):
        pass
    return bytes(body)


def _connect(address: Address, seconds: float) -> socket.socket:
    if address.path is not None:
        return _connect_unix(address.path, seconds)
    connection = socket.create_connection((address.host, address.port), seconds)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if address.scheme == "http":
        return connection
    import ssl  # noqa: PLC0415 -- slow to import

    # This checks readiness, not identity: a service under test has its own certificate.
    context = ssl._create_unverified_context()  # noqa: S323, SLF001
    try:
        context.set_alpn_protocols(["http/1.1"])
        return context.wrap_socket(connection, server_hostname=address.host)
    except OSError:
        connection.close()
        raise


def _connect_unix(path: str, seconds: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(seconds)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection
