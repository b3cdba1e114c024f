"""Drivers of a traced app: readiness, requests and the stop; the trace has none of their files."""

from __future__ import annotations

import http.server
import os
import shlex
import signal
import socket
import socketserver
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from requirements import need

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Trace, Tracee

    Slimtrace = Callable[..., subprocess.CompletedProcess[str]]

# A small web service: it serves its directory, and exits on SIGTERM and SIGUSR1.
SERVICE = """
import functools, http.server, signal, sys
class Handler(http.server.SimpleHTTPRequestHandler):
    log_message = lambda *_: None
    def do_GET(self):
        if self.path == "/broken":
            return self.send_error(500)
        super().do_GET()
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)
def end(number, frame):
    print("ended by", signal.Signals(number).name, flush=True)
    sys.exit(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGUSR1, end)
server.serve_forever()
"""
SLEEP = ["sh", "-c", "exec sleep 1000"]


@pytest.fixture
def port() -> int:
    """Return a port on which no process listens."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _service(port: int, *arguments: str) -> list[str]:
    return [os.path.realpath(sys.executable), "-c", SERVICE, str(port), *arguments]


def _get(port: int, path: str) -> str:
    fetch = f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}{path}').read())"
    return f"{shlex.quote(sys.executable)} -c {shlex.quote(fetch)}"


def test_a_service_is_driven_and_stopped(traced: Trace, port: int, tmp_path: Path) -> None:
    marker = tmp_path / "driver was here"
    run = traced(
        _service(port),
        *("--ready", f"tcp:{port}"),
        *("--exec", _get(port, "/page")),
        *("--exec", f"echo driven; touch {shlex.quote(str(marker))}"),
        tree={"page": "content", "other": ""},
    )
    assert run.status == 0, run.stderr
    assert run.stdout == "ended by SIGTERM\n", "a driver's output is not the app's"
    assert run.stderr == "b'content'\ndriven\n"
    assert marker.exists()
    assert run.touches() == {"page": "file read stat"}
    assert str(marker) not in run.paths()
    programs = {os.path.basename(image["exe"]) for image in run.document["processes"]}
    assert programs == {os.path.basename(os.path.realpath(sys.executable))}
    assert not {"/bin/sh", "/usr/bin/sh", "/usr/bin/dash"} & run.paths()
    assert run.document["listening"] == [{"protocol": "tcp", "port": port}]


@pytest.mark.parametrize(
    "ready",
    ["tcp:{port}", "tcp:127.0.0.1:{port}", "http://localhost:{port}", "http://127.0.0.1:{port}/no"],
)
def test_ways_to_be_ready(traced: Trace, port: int, ready: str) -> None:
    ready = ready.format(port=port)
    run = traced(_service(port), "--ready", ready, "--exec", _get(port, "/"), tree={"page": ""})
    assert (run.status, run.stdout) == (0, "ended by SIGTERM\n"), run.stderr


def test_a_file_that_a_driver_makes(traced: Trace, tracee: Tracee) -> None:
    """The app did not find the file before. It is not a file that the app created."""
    until = "until [ -e {} ]; do sleep 0.01; done; "
    driver = until.format("waiting") + "touch flag; " + until.format("seen")
    run = traced([tracee("appears"), ".", "outside"], "--exec", driver)
    assert (run.status, run.stderr) == (0, "")
    assert run.touches() == {
        "flag": "file read stat",
        "waiting": "created create write",
        "seen": "created create write",
    }


def test_ready_after_seconds(traced: Trace) -> None:
    run = traced(SLEEP, "--ready", "0.2", "--exec", "echo driven")
    assert run.status == 0
    assert "driven" in run.stderr
    assert run.run["seconds"] >= 0.2


def test_a_page_with_status_500_is_not_ready(traced: Trace, port: int) -> None:
    url = f"http://127.0.0.1:{port}/broken"
    run = traced(_service(port), "--ready", url, "--ready-timeout", "1", "--exec", "true")
    assert run.status == 1
    assert f"cannot drive the app: {url} did not answer in 1 s" in run.stderr


def test_an_app_that_is_never_ready(traced: Trace, port: int) -> None:
    run = traced(SLEEP, "--ready", f"tcp:{port}", "--ready-timeout", "0.3", "--exec", "echo no")
    assert run.status == 1
    assert run.stderr.startswith(f"slimtrace: cannot drive the app: port {port} did not answer")
    assert "\nno\n" not in run.stderr
    assert run.run["signal"] == signal.SIGTERM
    assert run.run["complete"] is True


def test_an_app_that_ends_before_it_is_ready(traced: Trace, port: int) -> None:
    run = traced(["sh", "-c", "exit 7"], "--ready", f"tcp:{port}", "--exec", "true")
    assert run.status == 1
    assert "cannot drive the app: it ended before it was ready" in run.stderr
    assert run.run["exit_status"] == 7


def test_a_driver_that_fails(traced: Trace) -> None:
    run = traced(SLEEP, "--ready", "0.1", "--exec", "exit 3", "--exec", "echo not run")
    assert run.status == 1
    assert run.stderr == "slimtrace: cannot drive the app: 'exit 3' failed: exit status 3\n"


def test_a_driver_that_a_signal_ends(traced: Trace) -> None:
    run = traced(SLEEP, "--ready", "0.1", "--exec", "kill -9 $$")
    assert run.status == 1
    assert run.stderr == "slimtrace: cannot drive the app: 'kill -9 $$' failed: Killed\n"


def test_drivers_do_not_read_the_apps_input(traced: Trace) -> None:
    script = "read line; echo got $line"
    run = traced(["sh", "-c", script], "--ready", "0.1", "--exec", "cat", stdin="for the app\n")
    assert (run.status, run.stdout) in ((0, "got for the app\n"), (1, "got for the app\n"))


@pytest.mark.parametrize(
    ("name", "number"), [("TERM", 15), ("SIGINT", 2), ("usr1", 10), ("9", 9), ("HUP", 1)]
)
def test_the_stop_signal(traced: Trace, name: str, number: int) -> None:
    run = traced(SLEEP, "--stop-after", "0.2", "--stop-signal", name)
    assert (run.status, run.stderr, run.run["signal"]) == (0, "", number)


@pytest.mark.parametrize(
    ("options", "number"),
    [
        (["--stop-after", "0"], signal.SIGTERM),
        (["--stop-after", "0", "--stop-signal", "KILL"], signal.SIGKILL),
        (["--exec", "true"], signal.SIGTERM),
    ],
)
def test_stopped_before_the_exec(traced: Trace, options: list[str], number: signal.Signals) -> None:
    """The signal may arrive before the exec; the trace is complete up to there."""
    run = traced(SLEEP, *options)
    assert (run.status, run.stderr, run.run["signal"]) == (0, "", number)


def test_stop_after_ends_the_run_in_time(traced: Trace, port: int) -> None:
    run = traced(_service(port, "9"), "--ready", f"tcp:{port}", "--stop-after", "0.3")
    assert (run.status, run.stdout) == (0, "ended by SIGTERM\n")
    assert run.run["seconds"] >= 0.3


@pytest.mark.parametrize(
    ("script", "options", "statuses"),
    [
        ("trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done", (), (0, 9)),
        ("echo up; exec sleep 1000", (), (0, 128 + signal.SIGTERM)),
        ("trap '' TERM; echo up; exec sleep 1000", (), (0, 128 + signal.SIGKILL)),
        ("echo up; exec sleep 1000", ("--exec", "exit 3"), (1, 1)),
    ],
    ids=["handles it", "ends by it", "ignores it", "a driver failed"],
)
def test_the_exit_status_of_a_stopped_app(
    traced: Trace, script: str, options: tuple[str, ...], statuses: tuple[int, int]
) -> None:
    """It is not the app's unless asked for."""
    drive = ("--ready", "log:up", "--stop-after", "0.1", "--stop-grace", "1", "--force", *options)
    for which, status in zip(("auto", "app"), statuses, strict=True):
        run = traced(["sh", "-c", script], *drive, "--exit-status", which)
        assert run.status == status, (which, run.stderr)
        assert run.run["driven"]["stopped"] is not bool(options)


def test_the_exit_status_of_an_app_that_ends_by_itself(traced: Trace) -> None:
    """It ends after the driver began, and before slimtrace could stop it."""
    app = "echo $$ > made; mv made pid; until [ -e go ]; do sleep 0.01; done; exit 5"
    until = "until {}; do sleep 0.02; done; "
    driver = until.format("[ -e pid ]") + "touch go; " + until.format("! kill -0 $(cat pid)")
    run = traced(["sh", "-c", app], "--exec", driver)
    assert (run.status, run.run["driven"]["stopped"]) == (5, False), run.stderr


def test_an_app_that_ends_before_stop_after(traced: Trace) -> None:
    run = traced(["sh", "-c", "exit 3"], "--stop-after", "1000")
    assert run.status == 3


def test_stop_after_ends_daemons_too(traced: Trace) -> None:
    """They outlive the first process, which exited without a signal."""
    run = traced(["sh", "-c", "setsid sleep 1000 </dev/null & exit 4"], "--stop-after", "0.3")
    assert run.status == 4
    assert run.run["complete"] is True
    (sleep,) = [image for image in run.document["processes"] if image["argv"][0] == "sleep"]
    assert sleep["exit_status"] == 128 + signal.SIGTERM


@pytest.mark.parametrize(
    ("options", "about"),
    [
        (["--ready", "tcp:0"], "tcp:0"),
        (["--ready", "tcp:x"], "tcp:x"),
        (["--ready", "ftp://localhost/"], "ftp://localhost/"),
        (["--ready", "-1"], "-1"),
        (["--ready", "nan"], "nan"),
        (["--ready", "soon"], "soon"),
        (["--ready", "http://"], "http://"),
        (["--ready", "http://x:port/"], "http://x:port/"),
        (["--ready", "tcp:65536"], "65535"),
        (["--ready", "log:("], "log:("),
        (["--ready", "log:"], "log:"),
        (["--ready", "unix:"], "unix:"),
        (["--ready", "file:"], "file:"),
        (["--ready", "1", "--ready", "2"], "twice"),
        (["--ready", "1", "--ready-status", "200"], "only a URL has a status"),
        (["--ready-status", "200"], "without --ready URL"),
        (["--ready", "http://x/", "--ready-status", "2x"], "2x"),
        (["--ready", "http://x/", "--ready-status", "300-200"], "300-200"),
        (["--ready", "http://x/", "--ready-status", "200,"], "200,"),
        (["--ready", "1", "--ready-count", "2"], "only lines of log:REGEX are counted"),
        (["--ready-count", "2"], "without --ready log:REGEX"),
        (["--ready", "log:x", "--ready-count", "0"], "--ready-count 0: at least one"),
        (["--http-get", "/", "--http-status", "20"], "--http-status 20"),
        (["--http-status", "200"], "without --http-get"),
        (["--http-get", "page"], "page"),
        (["--exec-timeout", "-1"], "-1"),
        (["--stop-grace", "x"], "x"),
        (["--stop-signal", "SIGNOTHING"], "SIGNOTHING"),
        (["--exit-status", "mine"], "mine"),
        (["--stop-after", "-1"], "-1"),
        (["--ready-timeout", "x"], "x"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_invalid_options(
    slimtrace: Slimtrace, tmp_path: Path, options: list[str], about: str
) -> None:
    trace = tmp_path / "x.trace"
    done = slimtrace("run", "-o", str(trace), *options, "--", "true")
    assert done.returncode == 2
    assert about in done.stderr
    assert "Traceback" not in done.stderr
    assert not trace.exists()


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        (("/page",), 200),
        (("/page", "--ready-status", "200"), 200),
        (("/no", "--ready-status", "2xx,404"), 404),
        (("/no", "--ready-status", "400-499"), 404),
    ],
)
def test_a_status_that_shows_readiness(
    traced: Trace, port: int, asked: tuple[str, ...], status: int
) -> None:
    path, *options = asked
    url = f"http://127.0.0.1:{port}{path}"
    pages = ("--http-get", path, "--http-status", str(status))
    run = traced(_service(port), "--ready", url, *options, *pages, tree={"page": "x"})
    assert (run.status, run.stdout) == (0, "ended by SIGTERM\n"), run.stderr
    assert run.run["driven"]["answers"] == [{"driver": f"GET {path}", "status": status}]
    assert run.run["driving"]["ready"] == url


def test_a_status_that_does_not(traced: Trace, port: int) -> None:
    url = f"http://127.0.0.1:{port}/no"
    options = ("--ready-status", "2xx", "--ready-timeout", "1", "--exec", "echo no")
    run = traced(_service(port), "--ready", url, *options)
    assert run.status == 1
    first = run.stderr.splitlines()[0]
    expected = f"cannot drive the app: {url} did not answer in 1 s (its last answer was 404)"
    assert first == f"slimtrace: {expected}"
    assert run.run["driven"] == {
        "ready": None,
        "answers": [],
        "failure": expected,
        "stopped": False,
    }


def test_https_certificates_are_not_verified(traced: Trace, port: int, tmp_path: Path) -> None:
    need("openssl")
    named = ("-keyout", "key.pem", "-out", "cert.pem", "-subj", "/CN=nobody")
    made = ["openssl", "req", "-x509", "-nodes", "-newkey", "rsa:2048", *named]
    subprocess.run(made, check=True, cwd=tmp_path, capture_output=True)
    wrapped = (
        "import ssl; context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); "
        f"context.load_cert_chain('{tmp_path}/cert.pem', '{tmp_path}/key.pem'); "
        "server.socket = context.wrap_socket(server.socket, server_side=True)\n"
    )
    script = SERVICE.replace("def end(", wrapped + "def end(")
    argv = [os.path.realpath(sys.executable), "-c", script, str(port)]
    ready = f"https://localhost:{port}/"
    run = traced(argv, "--ready", ready, "--exec", 'echo "$SLIMTRACE_URL"', "--http-get", "/")
    assert (run.status, run.stderr) == (0, f"https://localhost:{port}\n")


def test_a_unix_socket_and_a_file(traced: Trace, tracee: Tracee) -> None:
    """Pages are requested through the socket; relative paths start at the app's directory."""
    for ready in ("unix:s", "file:up"):
        argv = [tracee("listens"), "s", "up"]
        drivers = ("--exec", 'echo "$SLIMTRACE_SOCKET"', "--force")
        pages = ("--http-get", "/") if ready == "unix:s" else ()
        run = traced(argv, "--ready", ready, *pages, *drivers)
        assert run.status == 0, run.stderr
        assert run.stderr == (f"{run.directory}/s\n" if pages else "\n")
        assert run.run["driven"]["ready"] > 0.05
        for name in ("s", "up"):
            if os.path.exists(f"{run.directory}/{name}"):
                os.unlink(f"{run.directory}/{name}")


def test_a_line_on_stdout_or_stderr(traced: Trace) -> None:
    for stream in ("", ">&2"):
        script = f"echo begins; sleep 0.2; printf 'listening on 80' {stream}; exec sleep 1000"
        run = traced(["sh", "-c", script], "--force", "--ready", r"log:on \d+$", "--exec", "true")
        assert run.status == 0, run.stderr
        assert run.stdout + run.stderr == "begins\nlistening on 80"
        assert 0.15 < run.run["driven"]["ready"] < 10


def test_pages_are_requested_until_the_app_answers(traced: Trace, port: int) -> None:
    """Without --ready, pages are requested until the app answers."""
    options = ("--http-get", "/a page", "--http-get", "/no", "--exec", 'echo "$SLIMTRACE_PORT"')
    status = ("--http-status", "200-499")
    run = traced(_service(port), *options, *status, tree={"a page": "x"})
    assert (run.status, run.stdout, run.stderr) == (0, "ended by SIGTERM\n", f"{port}\n")
    assert run.touches() == {"a page": "file read stat", "no": "missing read stat"}
    assert run.run["driven"] == {
        "ready": None,
        "answers": [
            {"driver": "GET /a page", "status": 200},
            {"driver": "GET /no", "status": 404},
            {"driver": 'echo "$SLIMTRACE_PORT"', "status": 0},
        ],
        "failure": None,
        "stopped": True,
    }


def test_a_page_that_fails(traced: Trace, port: int) -> None:
    options = ("--http-get", "/broken", "--exec", "echo not run")
    run = traced(_service(port), "--ready", f"tcp:{port}", *options)
    assert (run.status, run.stdout) == (1, "ended by SIGTERM\n")
    first = run.stderr.splitlines()[0]
    assert first == "slimtrace: cannot drive the app: GET /broken was answered 500"
    assert run.run["driven"]["answers"] == [{"driver": "GET /broken", "status": 500}]


def test_a_page_of_an_app_without_a_server(traced: Trace) -> None:
    script = "echo up; exec sleep 1000"
    run = traced(["sh", "-c", script], "--ready", "log:up", "--http-get", "/")
    message = "GET / got no answer: it does not listen on a known port"
    assert (run.status, run.stderr) == (1, f"slimtrace: cannot drive the app: {message}\n")
    assert run.run["driven"]["answers"] == [{"driver": "GET /", "status": None}]


@pytest.mark.parametrize("ready", ["tcp:{port}", "http://127.0.0.1:{port}/"])
def test_a_server_that_answers_before_the_app_started(
    slimtrace: Slimtrace, tmp_path: Path, ready: str
) -> None:
    """Otherwise drivers would use another server on the port, and the trace would miss files."""
    with socketserver.TCPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        condition = ready.format(port=other.server_address[1])
        arguments = (
            "--ready",
            condition,
            "-o",
            f"{tmp_path}/x.trace",
            "--",
            "touch",
            f"{tmp_path}/ran",
        )
        done = slimtrace("run", *arguments)
        other.shutdown()
    assert done.returncode == 125
    assert "answers already, before it was started" in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(("kind", "what"), [("unix", "answers"), ("file", "exists")])
def test_a_path_that_exists_before_the_app_started(
    slimtrace: Slimtrace, tmp_path: Path, kind: str, what: str
) -> None:
    """A socket without a listener is left over from an earlier run; the app deletes it."""
    (tmp_path / "run").mkdir()
    path = f"{tmp_path}/run/there"
    arguments = ("--ready", f"{kind}:{path}", "-o", f"{tmp_path}/x.trace", "--", "touch", "ran")
    with closing(socket.socket(socket.AF_UNIX)) as other:
        other.bind(path)
        other.listen()
        done = slimtrace("run", *arguments, cwd=str(tmp_path))
    assert done.returncode == 125
    assert f"{path} {what} already, before it was started" in done.stderr
    assert os.listdir(tmp_path) == ["run"]
    if kind == "unix":
        done = slimtrace("run", *arguments, cwd=str(tmp_path))
        assert done.returncode == 1
        assert "it ended before it was ready: exit status 0" in done.stderr
