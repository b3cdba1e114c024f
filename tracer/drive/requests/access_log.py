"""Reads the requests of an access log, in the common or combined format of Apache and nginx."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.tracer.drive.requests.request_parts import METHOD, decode, split_url
from slimtrace.tracer.trace.http_request import HttpRequest

if TYPE_CHECKING:
    from collections.abc import Iterable

_LINE = re.compile(rb'[^"]*\[[^\]"]+\] "([A-Z-]+) (\S+)(?: HTTP/[\d.]+)?" (?:\d{3}|-)')
"""Up to the status; what may come before is an address, a virtual host, an identity and a user."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing (RFC 9110, section 9.2.1), without TRACE, which servers refuse."""


def read_access_log(lines: Iterable[bytes], *, unsafe: bool) -> tuple[list[HttpRequest], int]:
    """Read the different requests of a log, in the order in which each came first.

    A log has no bodies: requests that had one are sent without.

    :param unsafe: whether to take methods that may change something.
    :returns: the requests, and how many were left out for their method.
    """
    requests: dict[tuple[str, str], HttpRequest] = {}
    left_out = 0
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        method, url = decode(found[1]), decode(found[2])
        if method not in _SAFE and not unsafe:
            left_out += 1
            continue
        try:
            target, _ = split_url(url)
        except ValueError:  # what scanners of the internet send
            continue
        if METHOD.fullmatch(method) and method not in ("CONNECT", "TRACE"):
            request = HttpRequest(method, target, is_optional=True)
            requests.setdefault((method, target), request)
    return [*requests.values()], left_out
