"""What a verification does not repeat: requests from outside, and input."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from slimtrace.builder.verify.coverage import find_unrepeated
from slimtrace.tracer.trace.trace import DriveOptions, ListeningPort, Run, StdinKind, Trace

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUN = Run(("app",), "/", "0:0", {}, "rootfs:/x", None, "now", "x86_64", "notify")
PORT = (ListeningPort("tcp", 80),)
REQUESTS, INPUT = "app: requests to it", "was not repeated, its stdin was empty"
TABLE = (
    (RUN, (), None),
    (replace(RUN, interrupted="SIGTERM"), (), REQUESTS),
    (
        replace(RUN, interrupted="SIGTERM", drive_options=DriveOptions(ready="tcp:80")),
        PORT,
        REQUESTS,
    ),
    (replace(RUN, drive_options=DriveOptions(stop_after=5)), PORT, REQUESTS),
    (replace(RUN, drive_options=DriveOptions(stop_after=5)), (), None),
    (replace(RUN, drive_options=DriveOptions(http_get=("/",)), interrupted="SIGINT"), PORT, None),
    (replace(RUN, drive_options=DriveOptions(commands=("true",))), PORT, None),
    (replace(RUN, drive_options=DriveOptions(inside=(("true",),))), PORT, None),
    (replace(RUN, stdin=StdinKind.TERMINAL), (), f"app: input that was typed, if any, {INPUT}"),
    (replace(RUN, stdin=StdinKind.TERMINAL, seconds=1.5), (), None),
    (replace(RUN, stdin=StdinKind.PIPE), (), f"app: its input from a pipe {INPUT}"),
    (replace(RUN, stdin=StdinKind.FILE), (), f"app: its input from a file {INPUT}"),
)


@pytest.mark.parametrize(("run", "ports", "expected"), TABLE)
def test_what_is_said(run: Run, ports: tuple[ListeningPort, ...], expected: str | None) -> None:
    lines = find_unrepeated(Trace(runs=(run, run), listening=ports))
    if expected is None:
        assert lines == ()
    else:
        (line,) = lines
        assert line.startswith(expected)
        assert "slimtrace run" in line, "it says how to have it repeated"


KIND = """
import sys
from slimtrace.tracer.standard_input import StandardInput
before = StandardInput.before_run()
if sys.argv[1] == "read":
    sys.stdin.buffer.read()
print(before.find_kind())
"""


@contextmanager
def open_input(source: str, folder: Path) -> Iterator[int]:
    """A descriptor to read from."""
    reader, writer = os.openpty() if source == "terminal" else os.pipe()
    with ExitStack() as stack:
        stack.callback(os.close, reader)
        if source == "pipe":
            os.write(writer, b"input")
        if source in {"pipe", "empty pipe"}:
            os.close(writer)
        else:
            stack.callback(os.close, writer)
        if source == "file":
            (folder / "file").write_text("input")
            yield stack.enter_context(open(folder / "file")).fileno()
        elif source == "nothing":
            yield stack.enter_context(open(os.devnull)).fileno()
        else:
            yield writer if source == "terminal" else reader


@pytest.mark.parametrize(
    ("source", "action", "expected"),
    [
        ("file", "read", "file"),
        ("file", "-", "None"),
        ("nothing", "read", "None"),
        ("pipe", "read", "pipe"),
        ("pipe", "-", "pipe"),
        ("empty pipe", "read", "None"),
        ("silent pipe", "-", "None"),
        ("terminal", "-", "terminal"),
        ("closed", "-", "None"),
    ],
)
def test_where_input_comes_from(tmp_path: Path, source: str, action: str, expected: str) -> None:
    close = "<&-" if source == "closed" else ""
    with open_input(source, tmp_path) as stdin:
        done = subprocess.run(
            ["sh", "-c", f'"$@" {close}', "sh", sys.executable, "-c", KIND, action],
            stdin=stdin,
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert done.stdout == f"{expected}\n"
