"""The app's output: unchanged if slimtrace waits for a line of it, otherwise not touched at all."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from terminals import read_to_end, read_until, start_at_terminal
from traces import SECONDS, command, read_first_line, run_slimtrace, show

from slimtrace.tracer.engines.choice import ENGINES

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Trace

EVERY_BYTE = bytes(range(256)) * 4096
# Prints all bytes to stdout and to stderr, then a last line, and waits for SIGTERM.
PRINTS = """
import os, signal, sys
signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b"last"), os._exit(7)))
for _ in range(4):
    sys.stdout.buffer.write(bytes(range(256)) * 1024)
    sys.stdout.flush()
    sys.stderr.buffer.write(bytes(range(255, -1, -1)) * 1024)
    sys.stderr.flush()
sys.stderr.write("\\nall printed\\n")
signal.pause()
"""


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def _run(tmp_path: Path, engine: str, *arguments: str) -> list[str]:
    return command("-q", "run", "--engine", engine, "-o", f"{tmp_path}/x.trace", *arguments)


def test_every_byte_is_passed_on(tmp_path: Path, engine: str) -> None:
    arguments = (
        "--ready",
        "log:^all printed$",
        "--exec",
        "true",
        "--",
        sys.executable,
        "-c",
        PRINTS,
    )
    done = subprocess.run(
        _run(tmp_path, engine, *arguments), check=False, capture_output=True, timeout=SECONDS
    )
    assert done.returncode == 0
    assert done.stdout == EVERY_BYTE + b"last"
    assert done.stderr == bytes(range(255, -1, -1)) * 4096 + b"\nall printed\n"


@pytest.mark.parametrize("ready", [[], ["--ready", "0"], ["--ready", "log:999"]])
def test_the_order_of_both_streams_is_kept(tmp_path: Path, ready: list[str]) -> None:
    """If both streams are the same file."""
    script = "for i in $(seq 999); do echo $i >&$((i % 2 + 1)); done"
    done = subprocess.run(
        _run(tmp_path, "auto", *ready, "--", "bash", "-c", script),
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
    )
    failed = "slimtrace: cannot drive the app: it ended before it was ready: exit status 0"
    output = [line for line in done.stdout.splitlines() if not line.startswith(" ")]
    assert [line for line in output if line != failed] == [str(number) for number in range(1, 1000)]


@pytest.mark.parametrize("ready", [[], ["--ready", "0.1"]])
def test_the_app_has_its_streams_directly(tmp_path: Path, ready: list[str]) -> None:
    """Without --ready; also with it, if the streams are terminals and no line is awaited."""
    argv = _run(tmp_path, "auto", *ready, "--", "sh", "-c", "sleep 0.3; readlink /proc/self/fd/2")
    if ready:
        pid, terminal = start_at_terminal(argv)
        output = read_to_end(terminal)
        os.waitpid(pid, 0)
        assert output.startswith(b"/dev/pts/")
        os.close(terminal)
        return
    with open(tmp_path / "err", "wb") as err:
        done = subprocess.run(argv, check=True, stdout=subprocess.PIPE, stderr=err)
    assert done.stdout == os.fsencode(f"{tmp_path}/err\n")


def test_a_terminal_stays_a_terminal(tmp_path: Path, engine: str) -> None:
    """The terminal's output processing happens once, and both streams are one terminal."""
    script = "for i in 0 1 2; do [ -t $i ] && echo tty$i; done; echo e >&2; stty size <&1; echo up"
    argv = _run(tmp_path, engine, "--ready", "log:^up$", "--", "sh", "-c", f"sleep 0.2; {script}")
    pid, terminal = start_at_terminal(argv)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
    output = read_to_end(terminal)
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert output == b"tty0\r\ntty1\r\ntty2\r\ne\r\n33 77\r\nup\r\n"
    assert os.waitstatus_to_exitcode(status) == 0
    assert show(f"{tmp_path}/x.trace")["runs"][0]["driven"]["failure"] is None


def test_the_size_of_the_terminal_is_followed(tmp_path: Path) -> None:
    script = "trap 'stty size <&1' WINCH; echo up; while :; do sleep 0.05; done"
    argv = _run(tmp_path, "auto", "--ready", "log:up", "--stop-after", "60", "--")
    pid, terminal = start_at_terminal([*argv, "bash", "-c", script])
    read_until(terminal, b"up")
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("4H", 44, 55, 0, 0))
    read_until(terminal, b"44 55")
    os.kill(pid, signal.SIGTERM)
    read_to_end(terminal)
    os.waitpid(pid, 0)
    os.close(terminal)


def test_last_lines_are_not_printed_twice_at_a_terminal(tmp_path: Path) -> None:
    argv = _run(tmp_path, "auto", "--ready", "log:never", "--", "sh", "-c", "echo once; exit 3")
    pid, terminal = start_at_terminal(argv)
    output = read_to_end(terminal)
    os.waitpid(pid, 0)
    os.close(terminal)
    assert output.split(b"\r\n") == [
        b"once",
        b"slimtrace: cannot drive the app: it ended before it was ready: exit status 3",
        b"",
    ]


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("exit 3", "it ended before it was ready: exit status 3"),
        ("kill -9 $$", "it ended before it was ready: Killed"),
        ("exec sleep 100", "it printed no line that matches 'never' in 0.7 s"),
    ],
)
def test_a_failure_shows_the_last_lines(traced: Trace, engine: str, end: str, said: str) -> None:
    script = f"for i in $(seq 12); do echo line $i; done; printf '\\033[31mred'; {end}"
    options = ("--ready", "log:never", "--ready-timeout", "0.7")
    run = traced(["bash", "-c", script], *options)
    hint = ["slimtrace: give it longer with --ready-timeout, or see what it printed"]
    assert run.status == 1
    assert run.stderr.splitlines() == [
        f"slimtrace: cannot drive the app: {said}",
        *(f"    line {number}" for number in range(4, 13)),
        "    \\x1b[31mred",
        *(hint if "sleep" in end else []),
    ]
    assert run.run["driven"]["failure"] == f"cannot drive the app: {said}"
    assert run.stdout.endswith("line 12\n\x1b[31mred")


def test_a_last_line_without_a_newline_is_matched(traced: Trace, engine: str) -> None:
    run = traced(["sh", "-c", "echo done"], "--ready", "log:done")
    assert (run.status, run.stdout, run.stderr) == (0, "done\n", "")


def test_closed_streams_are_an_error(tmp_path: Path) -> None:
    command_line = shlex.join(_run(tmp_path, "auto", "--ready", "log:x", "--", "true"))
    done = subprocess.run(["sh", "-c", f"{command_line} >&- 2>&-"], check=False, timeout=SECONDS)
    assert done.returncode == 125
    assert not os.path.exists(tmp_path / "x.trace")


def test_a_reader_that_closes_the_pipe_ends_the_app_as_untraced(
    tmp_path: Path, engine: str
) -> None:
    done = read_first_line(_run(tmp_path, engine, "--ready", "log:y", "--", "yes"))
    assert (done.stdout, done.stderr) == (f"y\n{128 + signal.SIGPIPE}\n", "")


def test_a_slow_reader_loses_nothing(tmp_path: Path) -> None:
    argv = _run(tmp_path, "auto", "--ready", "log:1", "--", "seq", "200000")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(1)
        assert process.stdout is not None
        assert process.stdout.read().splitlines() == [str(number) for number in range(1, 200001)]
    assert process.returncode == 0


def test_an_interrupt_ends_output_without_a_reader(tmp_path: Path) -> None:
    """The app has exited, but its output is not completely passed on."""
    argv = _run(tmp_path, "auto", "--ready", "log:1", "--", "seq", "25000")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, process_group=0) as process:
        deadline = time.monotonic() + SECONDS / 4
        while process.poll() is None and time.monotonic() < deadline:
            process.terminate()
            time.sleep(0.3)
        assert process.returncode is not None


@pytest.mark.parametrize("at_terminal", [False, True])
def test_a_process_that_keeps_a_stream_open_is_not_waited_for(
    tmp_path: Path, at_terminal: bool
) -> None:
    """A process that is not a tracee and continues."""
    marker = f"31536003.{os.getpid()}"
    holds = f"setsid sh -c 'touch {tmp_path}/held; exec sleep {marker}'"
    keeps = (
        f"{holds} >/proc/$(cat {tmp_path}/pid)/fd/1 2>/dev/null & "
        f"until [ -e {tmp_path}/held ]; do sleep 0.02; done"
    )
    script = f"echo $$ >{tmp_path}/pid; echo up; exec sleep 1000"
    argv = _run(tmp_path, "auto", "--ready", "log:up", "--exec", keeps, "--", "sh", "-c", script)
    try:
        if at_terminal:
            pid, terminal = start_at_terminal(argv)
            assert read_to_end(terminal) == b"up\r\n"
            os.waitpid(pid, 0)
            os.close(terminal)
        else:
            done = subprocess.run(argv, check=False, capture_output=True, timeout=SECONDS)
            assert (done.returncode, done.stdout) == (0, b"up\n")
        deadline = time.monotonic() + SECONDS  # it executes sleep after it made the file
        while not _find_processes(marker) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert _find_processes(marker)
    finally:
        for process in _find_processes(marker):
            process.kill()


def _find_processes(marker: str) -> list[psutil.Process]:
    return [p for p in psutil.process_iter(["cmdline"]) if marker in (p.info["cmdline"] or [])]


def test_missing_pages_are_reported(tmp_path: Path) -> None:
    serve = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "0"]
    drive = ("--ready", "log:Serving HTTP", "--http-get", "/none", "--http-status", "404")
    arguments = ("run", "-o", f"{tmp_path}/x", *drive, "--", *serve)
    done = run_slimtrace(*arguments, cwd=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "slimtrace: GET /none: 404\n" in done.stderr
    output = run_slimtrace("show", f"{tmp_path}/x").stdout
    assert "  ready after " in output
    assert "  GET /none: 404\n" in output
