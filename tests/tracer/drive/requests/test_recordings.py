"""HARs and access logs: what of them is sent again."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

from slimtrace.tracer.drive.requests.request_files import read_replay
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

LOG = b"""\
192.0.2.1 - - [29/Nov/2026:13:05:07 +0000] "GET / HTTP/1.1" 200 5 "-" "curl/8 \\"quoted\\""
app.test:80 192.0.2.1 - ann [29/Nov/2026:13:05:08 +0000] "GET /users?a=1 HTTP/2.0" 200 - "-" "x"
192.0.2.1 - - [29/Nov/2026:13:05:08 +0000] "GET / HTTP/1.1" 304 0
192.0.2.1 - - [29/Nov/2026:13:05:08 +0000] "POST /users HTTP/1.1" 201 9 "-" "x"
192.0.2.1 - - [29/Nov/2026:13:05:08 +0000] "\\x16\\x03\\x01" 400 0 "-" "-"
192.0.2.1 - - [29/Nov/2026:13:05:08 +0000] "GET http://app.test/whole HTTP/1.1" 200 0
192.0.2.1 - - [29/Nov/2026:13:05:08 +0000] "CONNECT app.test:443 HTTP/1.1" 405 0
a line of something else
192.0.2.1 - - [29/Nov/2026:13:05:08 +0000] "HEAD /h HTTP/1.0" 200 -
"""


@pytest.mark.parametrize("is_compressed", [False, True])
def test_a_log(tmp_path: Path, capsys: pytest.CaptureFixture[str], is_compressed: bool) -> None:
    path = tmp_path / "access.log"
    path.write_bytes(gzip.compress(LOG) if is_compressed else LOG)
    found = read_replay(str(path), unsafe=False)
    assert [request.shown for request in found] == [
        "GET /",
        "GET /users?a=1",
        "GET /whole",
        "HEAD /h",
    ]
    assert all(request.is_optional for request in found)
    said = capsys.readouterr().err
    assert "left out 2 requests that may change something: add --replay-unsafe" in said


def test_all_of_a_log(tmp_path: Path) -> None:
    (tmp_path / "access.log").write_bytes(LOG)
    found = read_replay(str(tmp_path / "access.log"), unsafe=True)
    assert [request.shown for request in found][2:4] == ["POST /users", "GET /whole"]
    assert not any(request.method == "CONNECT" for request in found)


def test_a_long_log_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f'h - - [x] "GET /{number} HTTP/1.1" 200 1\n' for number in range(1001)]
    (tmp_path / "access.log").write_text("".join(lines))
    assert len(read_replay(str(tmp_path / "access.log"), unsafe=False)) == 1000
    assert "only its first 1,000 different requests are sent" in capsys.readouterr().err


def _entry(method: str, url: str, **more: Any) -> dict[str, Any]:
    return {"request": {"method": method, "url": url, "headers": [], **more}}


def test_a_har(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    headers = [("Host", "app.test"), (":path", "/"), ("Cookie", "a=b"), ("If-None-Match", "x")]
    named = [{"name": name, "value": value} for name, value in headers]
    form = {"mimeType": "x", "params": [{"name": "a", "value": "1 2"}]}
    entries = [
        _entry("GET", "https://app.test/a?b=c", headers=named),
        _entry("POST", "https://app.test/form", postData=form),
        _entry("POST", "https://app.test/b", postData={"text": "/w==", "encoding": "base64"}),
        _entry("GET", "data:text/plain,x"),
        _entry("GET", "https://fonts.test/f.woff2"),
    ]
    path = tmp_path / "a.har"
    path.write_text("\ufeff" + json.dumps({"log": {"entries": entries}}))
    first, form_, binary = read_replay(str(path), unsafe=False)
    assert (first.shown, first.headers) == ("GET /a?b=c", (("Cookie", "a=b"),))
    assert form_.body == "a=1+2"
    assert binary.body_bytes == b"\xff"
    assert "left out 1 request to fonts.test" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"hello\n", "it is neither a HAR nor an access log"),
        (b"", "it is neither a HAR nor an access log"),
        (b"{}", "it is JSON, but no HAR"),
        (b'{"log": {"entries": [1]}}', "it is JSON, but no HAR"),
        (b'{"log": {"entries": []}}', "it has no request"),
        (b"{broken", "unexpected character"),
        (b"\x1f\x8b\x08\x00broken", "Compressed file ended"),
    ],
)
def test_what_is_no_recording(tmp_path: Path, data: bytes, cause: str) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(UsageError) as raised:
        read_replay(str(tmp_path / "x"), unsafe=False)
    assert cause in raised.value.message
    assert raised.value.hint
