"""The values of ``--ready``: what each means, and what is refused."""

from __future__ import annotations

import re

import pytest

from slimtrace.tracer.drive.app_output import LastLines
from slimtrace.tracer.drive.ready import (
    Delay,
    LogLine,
    Ready,
    ReadyCommand,
    ReadyFile,
    TcpPort,
    UnixSocket,
    Url,
    parse_ready,
)
from slimtrace.tracer.errors import UsageError


@pytest.mark.parametrize(
    ("text", "ready"),
    [
        ("0", Delay(0)),
        ("1.5", Delay(1.5)),
        ("600", Delay(600)),
        ("tcp:8080", TcpPort("127.0.0.1", 8080)),
        ("tcp:db:5432", TcpPort("db", 5432)),
        (":8080", TcpPort("127.0.0.1", 8080)),
        ("localhost:8080", TcpPort("localhost", 8080)),
        ("127.0.0.1:80", TcpPort("127.0.0.1", 80)),
        ("db.internal:80", TcpPort("db.internal", 80)),
        ("[::1]:80", TcpPort("::1", 80)),
        ("unix:8080", UnixSocket("/work/8080")),
        ("file:8080", ReadyFile("/work/8080")),
        ("log:8080", LogLine(re.compile("8080"))),
        ("exec:8080", ReadyCommand("8080")),
        ("exec:pg_isready -h localhost:1", ReadyCommand("pg_isready -h localhost:1")),
        ("http://localhost:8080", Url("http://localhost:8080")),
    ],
)
def test_what_it_means(text: str, ready: Ready) -> None:
    assert parse_ready(text, None, "/work") == ready


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("8080", "it would wait 8,080 seconds; tcp:8080?", "at most 600 seconds"),
        ("601", "601 seconds; tcp:601?", "at most 600"),
        ("8080.5", "8,080 seconds", "at most 600"),
        ("99999", "99,999 seconds", "at most 600"),
        ("db:5432", "it is no http(s) URL, tcp:PORT,", "say --ready tcp:db:5432"),
        ("http:8080", "it is no http(s) URL, tcp:PORT,", "say --ready tcp:http:8080"),
        (":0", "ports are 1 to 65535", None),
        ("localhost:99999", "ports are 1 to 65535", None),
        ("localhost:", "it is no http(s) URL", None),
        ("./a:80/1", "it is no http(s) URL", None),
        ("exec: ", "it is no http(s) URL", None),
        ("exec", "it is no http(s) URL", None),
    ],
)
def test_what_is_refused(text: str, message: str, hint: str | None) -> None:
    with pytest.raises(UsageError) as error:
        parse_ready(text, None, "/work")
    assert f"cannot use --ready {text}: " in error.value.message
    assert message in error.value.message
    assert (hint or "") in (error.value.hint or "")
    assert (hint is None) == (error.value.hint is None)


def test_what_refines_it() -> None:
    assert parse_ready("log:x", None, "/", 2) == LogLine(re.compile("x"), 2)
    assert parse_ready("http://x/", "404", "/") == Url("http://x/", ((404, 404),))
    for text in ("http://x/", "tcp:80", "1"):
        with pytest.raises(UsageError, match=f"--ready-count with --ready {text}: only lines"):
            parse_ready(text, None, "/", 2)


@pytest.mark.parametrize(
    ("count", "chunks", "is_ready", "matches"),
    [
        (1, [(1, b"no\nup")], True, 1),
        (2, [(1, b"up\n"), (1, b"up")], True, 2),
        (2, [(1, b"u"), (1, b"p"), (1, b" and up\n")], False, 1),
        (2, [(1, b"up"), (2, b"up")], True, 2),
        (2, [(1, b"up up up\n")], False, 1),
        (3, [(1, b"up\nno\nup\n"), (2, b"no\n"), (2, b"up\n")], True, 3),
        (3, [(1, b"up\nno\nup\n")], False, 2),
    ],
)
def test_lines_are_counted_once(
    count: int, chunks: list[tuple[int, bytes]], is_ready: bool, matches: int
) -> None:
    lines = LastLines(LogLine(re.compile("up"), count))
    for stream, data in chunks:
        lines.feed(stream, data)
    assert (lines.matched.is_set(), lines.matches) == (is_ready, matches)
