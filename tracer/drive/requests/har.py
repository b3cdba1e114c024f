"""Reads the requests of a HAR, which browsers save (HTTP Archive 1.2)."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import orjson

from slimtrace.tracer.drive.requests.request_parts import decode, parse_header, split_url
from slimtrace.tracer.trace.http_request import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_OF_THE_CONNECTION = frozenset(
    {
        *("host", "content-length", "connection", "accept-encoding", "transfer-encoding"),
        *("keep-alive", "proxy-connection", "te", "upgrade", "if-none-match", "if-modified-since"),
    }
)
"""Headers of the recorded connection, and those by which a server answers without a body."""
_BOM = b"\xef\xbb\xbf"


def is_har(data: bytes) -> bool:
    return data.removeprefix(_BOM).lstrip()[:1] == b"{"


def read_har(data: bytes) -> Iterator[tuple[str | None, HttpRequest]]:
    """Yield the host and the request of each entry, in order.

    :raises ValueError: it is no HAR.
    """
    try:
        entries = orjson.loads(data.removeprefix(_BOM))["log"]["entries"]
        for entry in entries:
            found = _read_request(entry["request"])
            if found is not None:
                yield found
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("it is JSON, but no HAR") from error


def _read_request(found: Mapping[str, Any]) -> tuple[str | None, HttpRequest] | None:
    url = str(found["url"])
    if not url.startswith(("http:", "https:")):  # of a page: data:, blob:, of an extension, wss:
        return None
    target, host = split_url(url)
    headers = []
    for each in found.get("headers", ()):
        name = str(each["name"])
        if name.startswith(":") or name.lower() in _OF_THE_CONNECTION:  # of HTTP/2
            continue
        headers.append(parse_header(f"{name}: {each['value']}"))
    body = _read_body(found.get("postData") or {})
    method = str(found["method"]).upper()
    return host, HttpRequest(method, target, tuple(headers), body, is_optional=True)


def _read_body(found: Mapping[str, Any]) -> str | None:
    text = found.get("text")
    if text and found.get("encoding") == "base64":
        return decode(base64.b64decode(text))
    if not text and found.get("params"):
        return urlencode([(each["name"], each.get("value", "")) for each in found["params"]])
    return str(text) if text else None
