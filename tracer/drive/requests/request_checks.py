"""Checks of requests before the app starts, so that wrong options are reported at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.drive.requests.references import (
    UnknownVariableError,
    check_references,
    expand,
    list_references,
)
from slimtrace.tracer.drive.requests.request_parts import parse_header
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from slimtrace.tracer.trace.trace import DriveOptions


def check_requests(options: DriveOptions) -> None:
    """Check what requests refer to.

    :raises UsageError: a variable is not set, no earlier request has a name, or a header of all
        requests is none.
    """
    for header in options.http_headers:
        _check_header(header)
    names: set[str] = set()
    for request in options.requests:
        check_references(request.references, names)
        names |= {request.name} if request.name else set()


def _check_header(header: str) -> None:
    try:
        parse_header(header)
        expand(header, {})
    except UnknownVariableError as error:
        raise UsageError(
            f"cannot use --http-header {header!r}: {error}", "refer to a variable as {{$env NAME}}"
        ) from error
    except ValueError as error:
        raise UsageError(
            f"cannot use --http-header {header!r}: {error}",
            "as in --http-header 'Authorization: Bearer {{$env TOKEN}}'",
        ) from error
    check_references(list_references([expand(header, {})]))
