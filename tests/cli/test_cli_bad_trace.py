"""``show``: traces that it cannot read, and readers that close the pipe early."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from traces import check_failure, command, environment, show

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Trace

    Slimtrace = Callable[..., subprocess.CompletedProcess[str]]

HEADER = b'{"slimtrace":1,"version":"0"}\n'
USE = b'{"use":"read","t":0,"p":1,"path":"/x","was":"file"}\n'
RUN = (
    b'{"run":{"command":["x"],"cwd":"/","user":"0:0","env":{},"image":"rootfs:/",'
    b'"image_digest":null,"started":"","machine":"x86_64","engine":"notify"}}\n'
)
PROCESS = b'{"process":1,"parent":null,"exe":"/x","argv":["x"]}\n'
NESTED = b"[" * 1000 + b"]" * 1000
OVER = b',"stat":[4294967296,0,0,0,0]'
SAVE = b'{"save":"/x","blob":"kept","stat":[33188,0,0,1,2]}\n'
END = b'{"end":{"seconds":0.5,"exit_status":0,"signal":null,"complete":true}}\n'
TRACE = HEADER + RUN + PROCESS + USE


@pytest.mark.parametrize(
    ("summary", "content", "cause"),
    [
        ("empty", b"", "it is empty"),
        ("text", b"hello\n", "it is not a slimtrace trace"),
        ("binary", bytes(range(256)), "it is not a slimtrace trace"),
        ("another JSON", b'{"a": 1}\n', "it is not a slimtrace trace"),
        ("a JSON list", b"[1]\n", "it is not a slimtrace trace"),
        ("a JSON number", b"7\n", "it is not a slimtrace trace"),
        ("a half header", HEADER[:9], "it is not a slimtrace trace"),
        ("a future version", b'{"slimtrace":2}\n', "its schema is 2, this slimtrace knows 1"),
        ("no version", b'{"slimtrace":null}\n', "its schema is None"),
        ("a broken line", TRACE + b"{nonsense\n" + USE, "line 5 is not JSON"),
        ("a line that is no object", TRACE + b"[]\n", "line 5 is not a trace line"),
        ("a use without a path", TRACE + USE.replace(b"path", b"p"), "line 5 is damaged"),
        ("an unknown use", TRACE + USE.replace(b"read", b"smell"), "line 5 is damaged"),
        ("an unknown state", TRACE + USE.replace(b'"file"', b'"gone"'), "line 5 is damaged"),
        ("a number for a path", TRACE + USE.replace(b'"/x"', b"7"), "line 5 is damaged"),
        ("a bad base64", TRACE + USE.replace(b'"path"', b'"path_b64"'), "line 5 is damaged"),
        ("a process of no run", HEADER + PROCESS + b'{"exit":2,"status":0}\n', "is damaged"),
        (
            "an argument of 33 bits",
            TRACE + b'{"argument":"socket","value":4294967296}\n',
            "line 5 is damaged",
        ),
        ("a gap before any run", HEADER + b'{"gap":"x","detail":""}\n', "line 2 is damaged"),
        ("an end before any run", HEADER + b'{"end":{}}\n', "line 2 is damaged"),
        ("a run without a command", HEADER + b'{"run":{}}\n', "line 2 is damaged"),
        ("a use by nobody", TRACE + USE.replace(b'"p":1', b'"p":"x"'), "line 5 is damaged"),
        ("a relative path", TRACE + USE.replace(b"/x", b"x"), "not an absolute path"),
        ("a NUL in a path", TRACE + USE.replace(b"/x", rb"/\u0000"), "not an absolute path"),
        ("a state in lists", TRACE + USE.replace(b'"file"', NESTED), "line 5 is damaged"),
        ("a moment in words", TRACE + USE.replace(b'"t":0', b'"t":"now"'), "is not a number"),
        ("a stat of words", TRACE + USE.replace(b"}", b',"stat":"abcde"}'), "is not a stat"),
        ("a stat below 0", TRACE + USE.replace(b"}", b',"stat":[-1,0,0,0,0]}'), "is not a stat"),
        ("a mode too large", TRACE + USE.replace(b"}", OVER + b"}"), "is not a stat"),
        ("a copy elsewhere", TRACE + SAVE.replace(b"kept", b".."), "is not a file name"),
        ("a copy without a name", TRACE + SAVE.replace(b"kept", b""), "is not a file name"),
        ("a list of counts", TRACE + b'{"counts":7}\n', "line 5 is damaged"),
        ("a port in words", TRACE + b'{"listen":"tcp","port":"80"}\n', "is not a whole number"),
        ("an end of words", TRACE + END.replace(b"0.5", b'"x"'), "is not a number"),
        ("a half end", TRACE + END.replace(b"true", b"1"), "is not true or false"),
        ("an empty command", HEADER + RUN.replace(b'["x"]', b"[]"), "a run has no command"),
        ("a command in a string", HEADER + RUN.replace(b'["x"]', b'"x"'), "is not a list"),
        ("a relative cwd", HEADER + RUN.replace(b'"/"', b'"."'), "not an absolute path"),
        ("a user in words", HEADER + RUN.replace(b"0:0", b"root"), "is not UID:GID"),
        ("an endless user", HEADER + RUN.replace(b"0:0", b"9" * 5000 + b":0"), "is not UID:GID"),
        ("a list of variables", HEADER + RUN.replace(b"{},", b'["A"],'), "is not an object"),
        ("a number of a variable", HEADER + RUN.replace(b"{},", b'{"A":1},'), "is not a string"),
        (
            "a digest elsewhere",
            HEADER + RUN.replace(b"null", b'"sha256:/tmp/x"'),
            "is not a sha256",
        ),
        ("an image of none", HEADER + RUN.replace(b'"rootfs:/"', b"null"), "is not a string"),
    ],
)
def test_a_damaged_trace_is_refused(
    slimtrace: Slimtrace, tmp_path: Path, summary: str, content: bytes, cause: str
) -> None:
    trace = tmp_path / "x.trace"
    trace.write_bytes(content)
    for arguments in (("show", str(trace)), ("show", str(trace), "--json")):
        done = slimtrace(*arguments)
        assert done.returncode == 125, summary
        assert done.stdout == ""
        assert done.stderr.startswith(f"slimtrace: cannot read {trace}: ")
        assert cause in done.stderr.splitlines()[0]
        assert "Traceback" not in done.stderr


def test_a_missing_trace(slimtrace: Slimtrace, tmp_path: Path) -> None:
    trace = f"{tmp_path}/nope.trace"
    cause = f"cannot read {trace}: No such file or directory"
    check_failure(slimtrace("show", trace), 125, cause, "slimtrace run -- COMMAND")
    check_failure(slimtrace("show", str(tmp_path)), 125, f"cannot read {tmp_path}: Is a directory")


@pytest.mark.parametrize("cut", range(1, len(USE)))
def test_an_incomplete_last_line_is_ignored(tmp_path: Path, cut: int) -> None:
    trace = tmp_path / "x.trace"
    trace.write_bytes(TRACE + USE.replace(b"/x", b"/y")[:-cut])
    document = show(str(trace))
    assert [entry["path"] for entry in document["files"]] == ["/x"]
    assert document["runs"][0]["complete"] is False
    assert [gap["kind"] for gap in document["runs"][0]["gaps"]] == ["interrupted"]


def test_a_reader_that_closes_the_pipe_early(traced: Trace) -> None:
    """``show | head`` prints no traceback and no message."""
    run = traced(["ls", "-R", "/usr/share/doc"])
    process = subprocess.Popen(
        command("show", "--json", run.trace),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait()
