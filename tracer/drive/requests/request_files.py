"""Reads the files of ``--http-file`` and ``--replay`` to requests."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from typing import TYPE_CHECKING

from slimtrace.tracer.console import say
from slimtrace.tracer.drive.requests.access_log import read_access_log
from slimtrace.tracer.drive.requests.har import is_har, read_har
from slimtrace.tracer.drive.requests.http_text import BadLineError, parse_requests
from slimtrace.tracer.drive.requests.references import UnknownVariableError
from slimtrace.tracer.drive.requests.request_parts import decode, is_loopback
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.text import format_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from slimtrace.tracer.trace.http_request import HttpRequest

_MAX_FILE_BYTES = 256 << 20
_MAX_REQUESTS = 1000
"""Verify repeats each of them."""
_GZIP = b"\x1f\x8b"


def read_http_file(path: str) -> list[HttpRequest]:
    """Read a ``.http`` file.

    :raises UsageError: it cannot be read, or has no request.
    """
    text = decode(read_file("--http-file", path))
    try:
        found = [*parse_requests(text, os.path.dirname(path))]
    except BadLineError as error:
        hint = "as in POST /users, header lines, an empty line and the body"
        if isinstance(error.__cause__, UnknownVariableError):
            hint = "define it in the file, as @name = VALUE, or refer to it as {{$env NAME}}"
        raise UsageError(
            f"cannot use --http-file {path}: line {error.number}: {error}", hint
        ) from error
    return _choose_host("--http-file", path, ((each.host, each.request) for each in found))


def read_replay(path: str, *, unsafe: bool) -> list[HttpRequest]:
    """Read a HAR, or an access log.

    :param unsafe: whether to take methods of a log that may change something, too.
    :raises UsageError: it is neither, cannot be read, or has no request.
    """
    data = read_file("--replay", path)
    if is_har(data):
        try:
            found = [*read_har(data)]
        except ValueError as error:
            raise UsageError(
                f"cannot use --replay {path}: {error}",
                "save it again from the browser's network panel",
            ) from error
        return _choose_host("--replay", path, found)
    requests, unsafe_count = read_access_log(data.splitlines(), unsafe=unsafe)
    if unsafe_count:
        left_out = format_count(unsafe_count, "request")
        say(f"{path}: left out {left_out} that may change something: add --replay-unsafe")
    if not requests and not unsafe_count:
        raise UsageError(
            f"cannot use --replay {path}: it is neither a HAR nor an access log",
            "give a log in the common or combined format of Apache and nginx",
        )
    return _limit(path, requests)


def read_file(option: str, path: str) -> bytes:
    """Read a file, also a compressed one.

    :raises UsageError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:  # once: it may be a pipe
            data = file.read(_MAX_FILE_BYTES + 1)
        if data.startswith(_GZIP):
            data = gzip.GzipFile(fileobj=io.BytesIO(data)).read(_MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise UsageError(f"cannot use {option} {path}: {cause}", "give a file to read") from error
    if len(data) > _MAX_FILE_BYTES:
        raise UsageError(
            f"cannot use {option} {path}: it is larger than {_MAX_FILE_BYTES >> 20} MiB",
            "give a part of it",
        )
    return data


def _choose_host(
    option: str, path: str, found: Iterable[tuple[str | None, HttpRequest]]
) -> list[HttpRequest]:
    """The requests to the app: to no host, to this machine, or to the first host of the file."""
    found = [*found]
    if not found:
        raise UsageError(
            f"cannot use {option} {path}: it has no request", "give a file that has one"
        )
    first, others = found[0][0], [*_list_others(found, found[0][0])]
    if others:
        left_out = format_count(len(others), "request")
        hosts = ", ".join(dict.fromkeys(others))
        say(f"{path}: left out {left_out} to {hosts}: requests go to the app alone")
    return _limit(path, [each for host, each in found if not _is_other(host, first)])


def _list_others(
    found: Sequence[tuple[str | None, HttpRequest]], first: str | None
) -> Iterator[str]:
    return (host for host, _ in found if host is not None and _is_other(host, first))


def _is_other(host: str | None, first: str | None) -> bool:
    return host is not None and host != first and not is_loopback(host)


def _limit(path: str, requests: list[HttpRequest]) -> list[HttpRequest]:
    if len(requests) > _MAX_REQUESTS:
        say(f"{path}: only its first {_MAX_REQUESTS:,} different requests are sent")
    return requests[:_MAX_REQUESTS]
