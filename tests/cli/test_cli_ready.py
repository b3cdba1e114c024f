"""``--ready`` and ``--http-get``: commands and counted lines, wrong ports, wrong pages."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import psutil
import pytest
from traces import SECONDS, check_failure, command, environment, run_slimtrace

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Trace

PYTHON = os.path.realpath(sys.executable)
LISTEN = "import socket, time; s = socket.create_server(('127.0.0.1', {})); time.sleep(1000)"
SERVE = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    log_message = lambda *_: None
    def do_GET(self):
        self.send_response(int(self.path[1:]))
        self.send_header("Content-Length", "0")
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
print("up", flush=True)
server.serve_forever()
"""


@pytest.fixture
def port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TestCommand:
    """``exec:CMD``: ready when it succeeds."""

    def test_it_is_asked_until_it_succeeds(self, traced: Trace) -> None:
        """Its output is not seen, and it is not traced."""
        script = "sleep 0.3; touch up; exec sleep 1000"
        probe = "echo asked >> asked; ls up"
        run = traced(["sh", "-c", script], "--ready", f"exec:{probe}", "--exec", "echo driven")
        assert (run.status, run.stdout, run.stderr) == (0, "", "driven\n")
        with open(f"{run.directory}/asked") as file:
            assert len(file.readlines()) > 2
        assert "asked" not in run.touches()
        assert run.run["driven"]["ready"] > 0.25
        assert run.run["driving"]["ready"] == f"exec:{probe}"

    def test_it_gets_the_address(self, traced: Trace, port: int) -> None:
        argv = [PYTHON, "-c", LISTEN.format(port)]
        run = traced(argv, "--ready", f'exec:test "$SLIMTRACE_PORT" = {port}', "--exec", "true")
        assert run.status == 0, run.stderr

    def test_it_never_succeeds(self, traced: Trace) -> None:
        options = ("--ready-timeout", "4", "--exec", "true")
        run = traced(["sleep", "1000"], "--ready", "exec:exit 7", *options)
        message = "'exit 7' did not succeed in 4 s (exit status 7)"
        assert run.status == 1
        assert run.stderr.startswith(f"slimtrace: cannot drive the app: {message}\n")

    def test_it_never_ends(self, traced: Trace) -> None:
        """Nothing of it is left."""
        marker = f"31536{os.getpid()}"
        options = ("--ready-timeout", "0.5", "--exec", "true")
        run = traced(["sleep", "1000"], "--ready", f"exec:sleep {marker} & wait", *options)
        assert run.status == 1
        assert "did not succeed in 0.5 s (it still ran)" in run.stderr
        living = psutil.process_iter(["cmdline"])
        assert not [each for each in living if marker in (each.info["cmdline"] or ())]

    def test_the_app_ends_first(self, traced: Trace) -> None:
        script = "echo oops; sleep 0.3; exit 4"
        run = traced(["sh", "-c", script], "--ready", "exec:sleep 1000", "--exec", "true")
        assert run.status == 1
        assert "it ended before it was ready: exit status 4\n    oops\n" in run.stderr

    def test_it_succeeds_before_the_app_started(self, tmp_path: Path) -> None:
        arguments = ("run", "-o", "x", "--ready", "exec:true", "--", "touch", "ran")
        done = run_slimtrace(*arguments, cwd=str(tmp_path))
        check_failure(done, 125, "'true' succeeds already, before it was started", "end what")
        assert os.listdir(tmp_path) == []


def test_a_line_that_comes_twice(traced: Trace) -> None:
    script = "echo ready; sleep 0.3; echo other; echo ready >&2; exec sleep 1000"
    options = ("--ready", "log:ready", "--ready-count", "2", "--exec", "echo driven")
    run = traced(["sh", "-c", script], *options)
    assert (run.status, run.stderr) == (0, "ready\ndriven\n")
    assert run.run["driven"]["ready"] > 0.25
    assert run.run["driving"]["ready_count"] == 2


def test_a_line_that_comes_too_seldom(traced: Trace) -> None:
    options = ("--ready", "log:read.", "--ready-count", "3", "--ready-timeout", "0.5")
    run = traced(["sh", "-c", "echo ready; echo ready; exec sleep 1000"], *options)
    assert run.status == 1
    assert "it printed 2 of 3 lines that match 'read.' in 0.5 s\n" in run.stderr


@pytest.mark.parametrize("ready", ["tcp:{}", "http://localhost:{}/", ":{}"])
def test_a_wrong_port(traced: Trace, port: int, ready: str) -> None:
    """The message names the port on which the app listens."""
    argv = [PYTHON, "-c", LISTEN.format(port)]
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        wrong = free.getsockname()[1]
        run = traced(argv, "--ready", ready.format(wrong), "--ready-timeout", "3")
    assert run.status == 1
    assert f"did not answer in 3 s (connection refused; the app listens on {port})" in run.stderr
    assert "let --ready name the port on which it listens" in run.stderr


def test_a_number_that_is_a_port(tmp_path: Path) -> None:
    arguments = ("run", "-o", "x", "--ready", "8080", "--", "touch", "ran")
    done = run_slimtrace(*arguments, cwd=str(tmp_path))
    check_failure(done, 2, "cannot use --ready 8080: it would wait 8,080 seconds; tcp:8080?", "600")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("status", "options", "is_good"),
    [
        (204, (), True),
        (304, (), True),
        (400, (), False),
        (404, (), False),
        (503, (), False),
        (404, ("--http-status", "404"), True),
        (503, ("--http-status", "2xx,500-599"), True),
        (200, ("--http-status", "404"), False),
    ],
)
def test_the_status_of_a_page(
    traced: Trace, status: int, options: tuple[str, ...], is_good: bool
) -> None:
    drive = ("--ready", "log:up", "--http-get", f"/{status}", *options)
    run = traced([PYTHON, "-c", SERVE], *drive)
    expected = options[1] if options else "200-399"
    assert run.run["driving"]["http_status"] == expected
    if is_good:
        assert (run.status, run.stderr) == (0, "")
    else:
        failure = f"cannot drive the app: GET /{status} was answered {status}"
        hint = f"if that is right, add --http-status {expected},{status}"
        assert (run.status, run.stderr) == (1, f"slimtrace: {failure}\nslimtrace: {hint}\n")


def test_a_service_without_a_driver_says_how_to_end_it(tmp_path: Path) -> None:
    script = "echo up; exec sleep 1000"
    process = subprocess.Popen(
        command("run", "-o", "x", "--ready", "log:up", "--", "sh", "-c", script),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        process.terminate()
        process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert line.startswith("slimtrace: ready after ")
    assert line.endswith(" s: it runs until Ctrl-C\n")
