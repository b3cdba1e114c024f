"""``.http`` files: what REST clients read in them is read, and what they do not is refused."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

from slimtrace.tracer.drive.requests.request_files import read_http_file
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
# a comment
@host = http://localhost:8080
@base = {{host}}/v1
@user = Ann

### Make one
# @name created
POST {{base}}/users HTTP/1.1
Content-Type: application/json
# not a header
X-Role: {{$env ROLE}}

{
  "name": "{{user}}"
}

> {%
  client.test("x", function() {});
%}

### Get it
// @no-redirect
GET {{base}}/users/{{ created.response.body.$.id }}
    ?full=1
    &more=2

###

### a form
< {% request.variables.set("a", 1) %}
POST /login
Content-Type: application/x-www-form-urlencoded

name=a
&password={{$processEnv PASSWORD}}
###
http://localhost:8080/plain
### files
POST /upload
Content-Type: multipart/form-data; boundary=B

--B
Content-Disposition: form-data; name="f"; filename="f.bin"

< ./f.bin
--B--
###
PUT /whole

<@ ./filled.json
>> answer.json
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    (tmp_path / "api.http").write_text(FILE)
    (tmp_path / "f.bin").write_bytes(b"\xff\x00{{user}}")
    (tmp_path / "filled.json").write_text('{"by": "{{user}}"}')
    return str(tmp_path / "api.http")


def test_the_requests_of_a_file(file: str) -> None:
    found = read_http_file(file)
    assert [request.shown for request in found] == [
        "POST /v1/users",
        "GET /v1/users/{{created.response.body.$.id}}?full=1&more=2",
        "POST /login",
        "GET /plain",
        "POST /upload",
        "PUT /whole",
    ]
    made, got, login, _, upload, whole = found
    assert (made.name, made.body) == ("created", '{\n  "name": "Ann"\n}')
    assert made.headers == (("Content-Type", "application/json"), ("X-Role", "{{$env ROLE}}"))
    assert (made.references, login.references) == (("$env ROLE",), ("$env PASSWORD",))
    assert got.references == ("created.response.body.$.id",)
    assert login.body == "name=a&password={{$env PASSWORD}}"
    assert upload.body_bytes is not None
    assert b'filename="f.bin"\r\n\r\n\xff\x00{{user}}\r\n--B--' in upload.body_bytes
    assert (whole.body, whole.headers) == ('{"by": "Ann"}', (("Content-Type", "application/json"),))


def test_values_are_made_up_once(tmp_path: Path) -> None:
    path = tmp_path / "a.http"
    path.write_text("GET /{{$uuid}}/{{$randomInt 5 5}}/{{$timestamp}}\n")
    (request,) = read_http_file(str(path))
    assert re.fullmatch(r"/[0-9a-f-]{36}/5/\d{10}", request.target)
    assert request.references == ()


def test_requests_to_other_hosts_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "a.http"
    path.write_text("GET https://app.test/a\n###\nGET https://login.test/b\n###\nGET /c\n")
    assert [request.target for request in read_http_file(str(path))] == ["/a", "/c"]
    assert (
        "left out 1 request to login.test: requests go to the app alone" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "it has no request"),
        ("### nothing\n# here\n", "it has no request"),
        ("GET /a\n\n###\n\nGET {{b}}\n", "line 5: {{b}} is not defined"),
        ("@a = {{b}}\n@b = {{a}}\nGET /{{a}}\n", "refers to itself"),
        ("GET users\n", "line 1: users is not a path"),
        ("# c\n\nPOST /a\nnot a header\n", "line 3: not a header is not a header"),
        ("POST /a\n\n< ./none.json\n", "none.json: No such file or directory"),
    ],
)
def test_what_is_no_file_of_requests(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "a.http"
    path.write_text(text)
    with pytest.raises(UsageError) as raised:
        read_http_file(str(path))
    assert cause in raised.value.message
    assert raised.value.hint


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        read_http_file(os.fspath(tmp_path))
    assert raised.value.message.endswith(": Is a directory")
