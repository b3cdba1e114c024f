"""``slimtrace slim``: one command from an app to its verified image."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from engine import podman, podman_run
from requirements import need
from roots import busybox_root
from traces import SECONDS, check_failure, command, environment, run_slimtrace

if TYPE_CHECKING:
    from pathlib import Path

SERVER = """
import http.server, importlib, os, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        try:
            body = importlib.import_module(self.path.strip("/") or "json").__name__
            status = 200
        except ModuleNotFoundError as error:
            body, status = str(error), 500
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def slim(folder: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    env = environment(XDG_CACHE_HOME=str(folder / "cache"))
    return run_slimtrace(*argv, cwd=str(folder), env=env)


@pytest.fixture
def server(tmp_path: Path) -> tuple[str, ...]:
    """The argv of a server in ``tmp_path``; its last argument is the port."""
    (tmp_path / "server.py").write_text(SERVER)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    python = shutil.which("python3", path="/usr/bin") or os.path.realpath(sys.executable)
    return (python, "-IB", "server.py", port)


def test_a_service_from_start_to_image(tmp_path: Path, server: tuple[str, ...]) -> None:
    drive = ("--ready", f"tcp:{server[-1]}", "--http-get", "/", "--http-get", "/wave")
    to = ("-o", "app.tar", "-t", "localhost/slim-one-go:1")
    done = slim(tmp_path, "slim", *to, *drive, "--", *server)
    assert done.returncode == 0, done.stderr
    assert "verified app.tar: nothing is missing, all went as traced" in done.stderr
    living = psutil.process_iter(["cmdline"])  # None for a zombie
    assert not [each for each in living if server[-1] in (each.info["cmdline"] or ())]
    again = slim(tmp_path, "-q", "verify", "app.tar", "--trace", "app.slim.trace", "--read-only")
    assert again.returncode == 0, again.stderr
    need("podman")
    assert podman("load", "-q", "-i", f"{tmp_path}/app.tar").returncode == 0
    try:
        run = podman_run("--read-only", "localhost/slim-one-go:1", *server[:3], "no-port")
        assert "ValueError" in run.stderr
    finally:
        podman("rmi", "-f", "localhost/slim-one-go:1")


def test_what_goes_otherwise_is_healed_before_anybody_sees_the_image(tmp_path: Path) -> None:
    """The app needs another file in each run; the image has all of them in the end."""
    count = "#!/bin/sh\nread -r n </given/n\necho x$n >/given/n\ncat /app/$n\n"
    tree = {"app/job": count, "given/n": "", **{f"app/{'x' * n}1": "" for n in range(12)}}
    busybox_root(tmp_path / "full", tree)
    (tmp_path / "given").mkdir()
    (tmp_path / "given/n").write_text("1\n")
    where = ("--image", "rootfs:full", "-v", f"{tmp_path}/given:/given", "--keep", "closure")
    argv = ("slim", "-o", "oci:app:v1", *where, "--volumes", "shared", "--json", "--", "/app/job")
    done = slim(tmp_path, *argv)
    report = json.loads(done.stdout)
    assert done.returncode == 1, done.stderr  # it never ends
    assert report["verify"]["rounds"] == 10
    assert report["verify"]["healed"] == [f"/app/{'x' * n}1" for n in range(1, 10)]
    assert report["reasons"]["healed"] == 9
    assert report["image"]["destination"] == "oci:app:v1"
    (tmp_path / "given/n").write_text("1\n")
    done = slim(tmp_path, *argv[:-3], "--no-heal", "--json", "--", "/app/job")
    assert (done.returncode, json.loads(done.stdout)["verify"]["healed"]) == (1, [])


def test_a_service_that_is_ended_by_hand(tmp_path: Path, server: tuple[str, ...]) -> None:
    """The verification does not need a second Ctrl-C."""
    argv = ("-q", "slim", "-o", "app.tar", "--ready", f"tcp:{server[-1]}", "--", *server)
    env = environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
    process = subprocess.Popen(command(*argv), cwd=tmp_path, env=env, stderr=subprocess.PIPE)
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", int(server[-1])), 1).close()
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert (tmp_path / "app.tar").exists()


def test_options_reach_the_command_that_they_are_of(tmp_path: Path) -> None:
    script = "#!/bin/sh\necho $WHO $(id -u) $PWD; test $WHO = me\n"
    root = busybox_root(tmp_path / "full", {"app/job": script})
    shutil.copy(root / "bin/busybox", root / "bin/test")
    of_run = ("--image", "rootfs:full", "-e", "WHO=me", "--user", "1000:1001", "--workdir", "/work")
    of_build = ("--label", "a=b", "--include", "/etc/group", "--cmd", "/app/job")
    done = slim(tmp_path, "-q", "slim", "-o", "rootfs:tree", *of_run, *of_build, "--", "/app/job")
    assert (done.returncode, done.stdout) == (0, "me 1000 /work\n"), done.stderr
    assert (tmp_path / "tree/etc/group").exists()


def test_no_image_is_made_of_a_run_that_failed(tmp_path: Path, server: tuple[str, ...]) -> None:
    check_failure(
        slim(tmp_path, "-q", "slim", "-o", "app.tar", "--", "false"),
        125,
        "cannot slim false: it failed: exit status 1",
        "if it is meant to end so, add --allow-failed; its trace is app.slim.trace",
    )
    driven = ("--ready", f"tcp:{server[-1]}", "--exec", "exit 3")
    done = slim(tmp_path, "-q", "slim", "-o", "app.tar", *driven, "--", *server)
    assert done.returncode == 1
    assert "'exit 3' failed: exit status 3" in done.stderr
    done = slim(tmp_path, "-q", "slim", "-o", "app.tar", "--", "no-such-program")
    assert done.returncode == 127
    for wrong in (("-o", "app.oci"), ("-o", "app.tar", "--label", "x")):
        done = slim(tmp_path, "slim", *wrong, "--trace", "new.trace", "--", "true")
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert not (tmp_path / "new.trace").exists()
    assert not (tmp_path / "app.tar").exists()


def test_the_trace_is_beside_the_image(tmp_path: Path) -> None:
    """A failed run before does not block it; the trace that ``--trace`` names is moved away."""
    busybox_root(tmp_path / "full", {"app/job": "#!/bin/sh\nexit $1\n"})
    (tmp_path / "images").mkdir()
    where = ("-q", "slim", "--image", "rootfs:full", "--no-heal")
    for status, code in (("3", 125), ("0", 0), ("0", 0)):
        done = slim(tmp_path, *where, "-o", "oci:images/app:v1", "--", "/app/job", status)
        assert done.returncode == code, done.stderr
    assert sorted(os.listdir(tmp_path / "images")) == ["app", "app.slim.trace"]
    for _ in range(2):
        options = ("-o", "app.tar", "--trace", "mine", "--allow-failed")
        done = slim(tmp_path, *where, *options, "--", "/app/job", "3")
        assert done.returncode == 0, done.stderr
    assert {"mine", "mine.old"} < {*os.listdir(tmp_path)}
    assert "app.slim.trace" not in os.listdir(tmp_path)
    done = slim(tmp_path, *where, "-o", "oci:images/app:v1", "--no-clobber", "--", "/app/job", "0")
    check_failure(done, 125, "--no-clobber is given", "name another")
