"""Reads a request from one option's value, as ``POST /users @user.json``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.tracer.drive.requests.http_text import parse_requests
from slimtrace.tracer.drive.requests.references import UnknownVariableError, expand
from slimtrace.tracer.drive.requests.request_parts import (
    METHOD,
    complete,
    decode,
    is_loopback,
    parse_header,
    read_body,
    split_url,
)
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from slimtrace.tracer.trace.http_request import HttpRequest

_EXAMPLE = "as in --http 'POST /users @user.json'"
_WORD = re.compile(r"(?:\{\{[^{}]*\}\}|\S)+")
_HEADER = re.compile(
    r"""(?:"([\w-]+:[^"]*)"|'([\w-]+:[^']*)'|([A-Za-z][\w-]*:(?=[^\s/=&])(?:\{\{[^{}]*\}\}|\S)*))(?:\s+|$)""",
    re.ASCII,
)
"""A header between the path and the body: in quotes, or a word without spaces."""


def parse_request_line(text: str) -> HttpRequest:
    """Parse the value of ``--http``: a line, or several lines as in a ``.http`` file.

    :raises UsageError: it is no request.
    """
    try:
        if "\n" in text.strip():
            return _parse_lines(text)
        return _parse_line(expand(text.strip(), {}))
    except UnknownVariableError as error:
        raise UsageError(
            f"cannot use --http {text!r}: {error}", "refer to a variable as {{$env NAME}}"
        ) from error
    except ValueError as error:
        raise UsageError(f"cannot use --http {text!r}: {error}", _EXAMPLE) from error


def _parse_lines(text: str) -> HttpRequest:
    found = [*parse_requests(text, "")]
    if len(found) != 1:
        raise ValueError("it is more than one request")
    _check_host(found[0].host)
    return found[0].request


def _parse_line(text: str) -> HttpRequest:
    first, rest = _split_word(text)
    method = None
    if METHOD.fullmatch(first.upper()):
        method, (first, rest) = first.upper(), _split_word(rest)
    if not first:
        raise ValueError("it has no path")
    target, host = split_url(first)
    _check_host(host)
    headers = []
    while found := _HEADER.match(rest):
        headers.append(parse_header(found[1] or found[2] or found[3]))
        rest = rest[found.end() :]
    body, path = _read_body(rest)
    return complete(method or ("GET" if body is None else "POST"), target, headers, body, path=path)


def _split_word(text: str) -> tuple[str, str]:
    """Return the first word, and what follows it."""
    found = _WORD.match(text)
    end = found.end() if found is not None else 0
    return text[:end], text[end:].lstrip()


def _read_body(text: str) -> tuple[str | None, str | None]:
    if not text:
        return None, None
    if text.startswith(("@", "< ")):
        path = text.lstrip("@<").strip()
        return decode(read_body(path)), path
    return text, None


def _check_host(host: str | None) -> None:
    if host is not None and not is_loopback(host):
        raise ValueError(f"requests go to the app, not to {host}: give the path alone")
