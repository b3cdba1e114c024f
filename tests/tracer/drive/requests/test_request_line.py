"""The value of ``--http``: what it is read as, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slimtrace.tracer.drive.requests.request_line import parse_request_line
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.trace.http_request import HttpRequest

if TYPE_CHECKING:
    from pathlib import Path

JSON = ("Content-Type", "application/json")
FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/", HttpRequest()),
        ("GET /a?b=c#d", HttpRequest(target="/a?b=c")),
        ("delete /users/1", HttpRequest("DELETE", "/users/1")),
        ("http://localhost:8080", HttpRequest()),
        ("HEAD http://127.0.0.1:1/x?y", HttpRequest("HEAD", "/x?y")),
        ('POST /u {"a": 1}', HttpRequest("POST", "/u", (JSON,), '{"a": 1}')),
        ("/u a=1&b=2", HttpRequest("POST", "/u", (FORM,), "a=1&b=2")),
        (
            "PUT /u X-A:1 X-B:2 [1]",
            HttpRequest("PUT", "/u", (("X-A", "1"), ("X-B", "2"), JSON), "[1]"),
        ),
        (
            "GET /u 'X-A: a b' \"X-B: c\"",
            HttpRequest(target="/u", headers=(("X-A", "a b"), ("X-B", "c"))),
        ),
        (
            "POST /u Content-Type:text/csv a,b",
            HttpRequest("POST", "/u", (("Content-Type", "text/csv"),), "a,b"),
        ),
        (
            "POST /u note: to all",
            HttpRequest(
                "POST", "/u", (("Content-Type", "text/plain; charset=utf-8"),), "note: to all"
            ),
        ),
        (
            "GET /u A:{{$env KEY}}",
            HttpRequest(target="/u", headers=(("A", "{{$env KEY}}"),), references=("$env KEY",)),
        ),
        ("PATCH /u\nX-A: 1\n\n{}", HttpRequest("PATCH", "/u", (("X-A", "1"), JSON), "{}")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_request(text: str, expected: HttpRequest) -> None:
    assert parse_request_line(text) == expected


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.json", "application/json"),
        ("a.graphql", "application/graphql"),
        ("a.png", "image/png"),
        ("a.unknown", "application/octet-stream"),
    ],
)
def test_a_body_from_a_file(tmp_path: Path, name: str, kind: str) -> None:
    (tmp_path / name).write_bytes(b"\xff{{$env NOT_A_REFERENCE}}")
    request = parse_request_line(f"POST /u @{tmp_path / name}")
    assert request.headers == (("Content-Type", kind),)
    assert request.body_bytes == b"\xff{{$env NOT_A_REFERENCE}}"
    assert request.references == ()


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "it has no path"),
        ("POST", "it has no path"),
        ("POST users", "users is not a path, which begins with /"),
        ("POST //users", "//users is not a path, which begins with /"),
        ("POST /u @no.json", "no.json: No such file or directory"),
        ("GET https://example.com/", "requests go to the app, not to example.com"),
        ("GET /{{id}}", "{{id}} is not defined"),
        ("GET /a\n\n###\nGET /b", "it is more than one request"),
        ("GET /a\nno header", "no header is not a header, as NAME: VALUE"),
    ],
)
def test_what_is_no_request(text: str, cause: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse_request_line(text)
    assert cause in raised.value.message
    assert raised.value.hint
