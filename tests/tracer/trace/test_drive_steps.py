"""The order of the steps of a drive, in old and new traces."""

from __future__ import annotations

from typing import Any

import pytest

from slimtrace.tracer.trace.drive_steps import StepKind
from slimtrace.tracer.trace.http_request import HttpRequest
from slimtrace.tracer.trace.schema import get_drive_options
from slimtrace.tracer.trace.trace import DriveOptions

OLD = {"ready_timeout": 1, "exec_timeout": 1, "stop_signal": "SIGTERM", "stop_grace": 1}


def test_an_older_trace_has_requests_first() -> None:
    found = {**OLD, "exec_in": [{"argv": ["c"]}], "exec": ["b"], "http_get": ["/a"]}
    assert [tuple(step) for step in get_drive_options(found).steps] == [
        (StepKind.GET, "/a"),
        (StepKind.EXEC, "b"),
        (StepKind.EXEC_IN, ("c",)),
    ]


def test_the_order_of_a_newer_one() -> None:
    found = {**OLD, "exec": ["a", "c"], "requests": [{"method": "PUT", "target": "/b"}]}
    options = get_drive_options({**found, "order": ["exec", "request", "exec"]})
    assert [step.value for step in options.steps] == ["a", HttpRequest("PUT", "/b"), "c"]


@pytest.mark.parametrize("order", [["exec"], ["exec", "exec", "exec"], ["exec", "eval"], 1])
def test_an_order_of_other_steps(order: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        get_drive_options({**OLD, "exec": ["a", "b"], "order": order})


def test_whether_anything_drives_the_app() -> None:
    assert not DriveOptions(ready="1", crawl=1, http_headers=("A: b",)).has_actions
    assert DriveOptions(requests=(HttpRequest(),)).has_actions
    assert DriveOptions(documents=("/",)).has_actions
