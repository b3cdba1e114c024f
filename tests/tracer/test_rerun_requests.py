"""A repeated run requests what the traced one did, and finds nothing anew."""

from __future__ import annotations

from slimtrace.tracer.rerun_requests import repeat_found
from slimtrace.tracer.trace.drive_steps import StepKind
from slimtrace.tracer.trace.http_request import HttpRequest
from slimtrace.tracer.trace.trace import DriveOptions, DriveResult, Response

FOUND = HttpRequest(target="/found", is_optional=True)
MADE = HttpRequest("POST", "/made", is_optional=True)
OPTIONS = DriveOptions(
    http_get=("/a", "/b"),
    documents=("/api",),
    commands=("true",),
    crawl=1,
    order=(StepKind.GET, StepKind.EXEC, StepKind.OPENAPI, StepKind.GET),
)
ANSWERS = (
    *(Response("GET /a", 200), Response("GET /found", 404, FOUND), Response("true", 0)),
    *(Response("GET /api", 200), Response("POST /made", None, MADE), Response("GET /b", 200)),
)


def test_what_was_found_is_requested_in_its_place() -> None:
    again = repeat_found(OPTIONS, DriveResult(answers=ANSWERS))
    assert (again.crawl, again.documents) == (None, ())
    assert [step.value for step in again.steps] == ["/a", FOUND, "true", "/api", MADE, "/b"]


def test_steps_that_a_failure_ended_are_tried() -> None:
    again = repeat_found(OPTIONS, DriveResult(answers=ANSWERS[:2], failure="cannot"))
    assert [step.value for step in again.steps] == ["/a", FOUND, "true", "/api", "/b"]


def test_other_runs_are_as_they_were() -> None:
    options = DriveOptions(http_get=("/a",))
    assert repeat_found(options, DriveResult(answers=ANSWERS)) is options
    assert repeat_found(OPTIONS, None) is OPTIONS
