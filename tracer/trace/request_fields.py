"""Requests, and the order of the steps of a drive, as JSON objects of a trace."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from slimtrace.tracer.trace.drive_steps import StepKind
from slimtrace.tracer.trace.field_checks import boolean, json_objects
from slimtrace.tracer.trace.http_request import HttpRequest
from slimtrace.tracer.trace.text_fields import get, get_list, put, put_list

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def put_request(request: HttpRequest) -> dict[str, Any]:
    """Return the object of a request; what it has not is not there."""
    return {
        "method": request.method,
        **put("target", request.target),
        **(
            {"headers": [_put_header(*pair) for pair in request.headers]} if request.headers else {}
        ),
        **({} if request.body is None else put("body", request.body)),
        **({} if request.name is None else put("name", request.name)),
        **(put_list("references", request.references) if request.references else {}),
        **({"optional": True} if request.is_optional else {}),
    }


def get_request(found: Mapping[str, Any]) -> HttpRequest:
    """What :func:`put_request` put. Raises KeyError, TypeError or ValueError."""
    headers = json_objects(found.get("headers", []))
    return HttpRequest(
        get(found, "method"),
        get(found, "target"),
        tuple((get(each, "name"), get(each, "value")) for each in headers),
        get(found, "body") if _has(found, "body") else None,
        get(found, "name") if _has(found, "name") else None,
        get_list(found, "references") if _has(found, "references") else (),
        is_optional=boolean(found.get("optional", False)),
    )


def _put_header(name: str, value: str) -> dict[str, str]:
    return {**put("name", name), **put("value", value)}


def _has(found: Mapping[str, Any], key: str) -> bool:
    return bool({key, f"{key}_b64"} & found.keys())


def get_order(
    found: Mapping[str, Any], values: Mapping[StepKind, Sequence[Any]]
) -> tuple[StepKind, ...]:
    """Read the order of steps. Raises TypeError or ValueError."""
    order = tuple(map(StepKind, found.get("order", ())))
    if order and Counter(order) != Counter({kind: len(each) for kind, each in values.items()}):
        raise ValueError("the order of the steps does not have each step once")
    return order


def put_requests(requests: Iterable[HttpRequest]) -> list[dict[str, Any]]:
    return [*map(put_request, requests)]


def get_requests(found: Iterable[Mapping[str, Any]]) -> tuple[HttpRequest, ...]:
    """Raises KeyError, TypeError or ValueError."""
    return tuple(map(get_request, found))
