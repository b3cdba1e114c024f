"""Checks and completes the parts of a request: method, target, headers and body."""

from __future__ import annotations

import mimetypes
import os
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from slimtrace.tracer.drive.requests.references import list_references
from slimtrace.tracer.trace.http_request import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_BODY_BYTES = 16 << 20
"""A trace has the bodies of its requests."""
METHOD = re.compile(r"[A-Z][A-Z-]*", re.ASCII)
_TOKEN = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
"""What a header may be called (RFC 9110, section 5.6.2)."""
_EXPRESSION = re.compile(r"\{\{[^{}]*\}\}")
_FORM = re.compile(r"[^\s=&]+=[^\s&]*(&[^\s=&]+=[^\s&]*)*")
_MORE_TYPES = {
    ".graphql": "application/graphql",
    ".jsonl": "application/x-ndjson",
    ".ndjson": "application/x-ndjson",
    ".form": "application/x-www-form-urlencoded",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
}
JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"


def decode(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def split_url(url: str) -> tuple[str, str | None]:
    """Split a URL into path with query, and host with port; None for a path.

    :raises ValueError: it is neither a path nor an HTTP URL.
    """
    if url.startswith("/") and not url.startswith("//"):
        return url.partition("#")[0], None
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{url:.60} is not a path, which begins with /")
    query = f"?{parts.query}" if parts.query else ""
    return (parts.path or "/") + query, parts.netloc.rpartition("@")[2]


def is_loopback(host: str) -> bool:
    """Whether a host with its port, as in a URL, is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    return name in ("localhost", "::1", "0.0.0.0") or name.startswith("127.")  # noqa: S104 -- not bound


def parse_header(text: str) -> tuple[str, str]:
    """Parse ``NAME: VALUE``.

    :raises ValueError: it is none.
    """
    name, colon, value = text.partition(":")
    name, value = name.strip(), value.strip()
    if not colon or not _TOKEN.fullmatch(name):
        raise ValueError(f"{text:.60} is not a header, as NAME: VALUE")
    if any(char in value for char in "\r\n\0"):
        raise ValueError(f"the header {name} has more than one line")
    return name, value


def read_body(path: str, folder: str = "") -> bytes:
    """Read a file that is a body.

    :raises ValueError: it cannot be read.
    """
    place = os.path.join(folder, path)
    try:
        with open(place, "rb") as file:
            data = file.read(MAX_BODY_BYTES + 1)
    except OSError as error:
        raise ValueError(f"{place}: {error.strerror}") from error
    if len(data) > MAX_BODY_BYTES:
        raise ValueError(f"{place} is larger than {MAX_BODY_BYTES >> 20} MiB")
    return data


def guess_type(body: str, path: str | None = None) -> str:
    """The media type of a body: by its file's name, else by what it looks like."""
    if path is not None:
        suffix = os.path.splitext(path)[1].lower()
        return (
            _MORE_TYPES.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
        )
    text = body.strip()
    if text.startswith(("{", "[")):
        return JSON_TYPE
    if text.startswith("<"):
        return "application/xml"
    is_form = _FORM.fullmatch(_EXPRESSION.sub("x", text)) is not None
    return FORM_TYPE if is_form else "text/plain; charset=utf-8"


def complete(
    method: str,
    target: str,
    headers: Sequence[tuple[str, str]],
    body: str | None,
    *,
    path: str | None = None,
    name: str | None = None,
) -> HttpRequest:
    """Make a request whose expressions were expanded; add the type of its body.

    :param path: the file that the body is from.
    """
    if body is not None and not any(each.lower() == "content-type" for each, _ in headers):
        headers = (*headers, ("Content-Type", guess_type(body, path)))
    own = body if body is not None and path is None else ""
    texts = (target, *(value for _, value in headers), own)
    return HttpRequest(method, target, tuple(headers), body, name, list_references(texts))
