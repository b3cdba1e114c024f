"""Sends GET requests to an app and reads the status of the answers."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    import http.client

_CHUNK_BYTES = 1 << 16
_MAX_QUOTED_CHARS = 40
_UNQUOTED = "/?:@!$&'()*+,;=-._~%[]"
"""Characters that a request target may contain as they are (RFC 3986)."""


class HttpStatus(NamedTuple):
    """The status line of an answer (RFC 9112, section 4); ``version`` as ``HTTP/1.1``."""

    code: int
    version: str


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


def get(address: Address, target: str, seconds: float) -> HttpStatus:
    """Send a GET, and read the answer to its end, or for ``seconds``.

    :param target: the path with its query.
    :raises OSError: no answer came in time.
    :raises ValueError: the answer is not HTTP/1.
    """
    import http.client  # noqa: PLC0415 -- slow to import

    deadline = time.monotonic() + seconds
    connection = _make_connection(address, seconds)
    try:
        quoted = quote(os.fsencode(target), safe=_UNQUOTED)
        connection.request("GET", quoted, headers={"Connection": "close"})
        answer = connection.getresponse()
        while time.monotonic() < deadline and _read_more(answer):
            continue
    except http.client.RemoteDisconnected as error:  # a ConnectionResetError: no answer at all
        raise OSError(str(error)) from error
    except http.client.BadStatusLine as error:
        raise ValueError(f"it said {str(error)[:_MAX_QUOTED_CHARS]!r}") from error
    except http.client.HTTPException as error:
        raise ValueError(f"{type(error).__name__} {error}".strip()) from error
    finally:
        connection.close()
    return HttpStatus(answer.status, "HTTP/1.1" if answer.version == 11 else "HTTP/1.0")


def _read_more(answer: http.client.HTTPResponse) -> bytes:
    """The next bytes of the body, which may break off or never end."""
    import http.client  # noqa: PLC0415 -- slow to import

    try:
        return answer.read1(_CHUNK_BYTES)
    except (OSError, http.client.HTTPException):
        return b""


def _make_connection(address: Address, seconds: float) -> http.client.HTTPConnection:
    import http.client  # noqa: PLC0415 -- slow to import

    if address.path is not None:
        connection = http.client.HTTPConnection("localhost", timeout=seconds)
        connection.sock = _connect_unix(address.path, seconds)
        return connection
    if address.scheme == "http":
        return http.client.HTTPConnection(address.host, address.port, timeout=seconds)
    import ssl  # noqa: PLC0415 -- even slower

    # This checks readiness, not identity: a service under test has its own certificate.
    context = ssl._create_unverified_context()  # noqa: S323, SLF001
    return http.client.HTTPSConnection(address.host, address.port, timeout=seconds, context=context)


def _connect_unix(path: str, seconds: float) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(seconds)
        connection.connect(path)
    except OSError:
        connection.close()
        raise
    return connection
