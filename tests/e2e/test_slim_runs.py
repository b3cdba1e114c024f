"""A service and its jobs in one image: every run's command works, and one is the default."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from requirements import need_root
from traces import SECONDS, check_failure, make_tree, run_slimtrace

if TYPE_CHECKING:
    from pathlib import Path

PYTHON = os.path.realpath(sys.executable)
TREE = {
    "service/app.py": """
import http.server, pathlib, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(pathlib.Path("page.html").read_bytes())
    def log_message(self, *words):
        pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
""",
    "service/page.html": "hello",
    "jobs/migrate.py": """
import pathlib, sqlite3
base = sqlite3.connect(":memory:")
base.executescript(pathlib.Path("schema.sql").read_text())
print(base.execute("select count(*) from users").fetchone())
""",
    "jobs/schema.sql": "create table users (name text); insert into users values ('a');",
    "empty/": "",
}


@pytest.fixture
def traced(tmp_path: Path) -> Path:
    """Make a folder with the trace of a service, a migration and a job in an empty directory."""
    make_tree(str(tmp_path), TREE)
    port = _free_port()
    url = f"http://127.0.0.1:{port}/"
    driven = ("--ready", url, "--exec", "true", "--stop-signal", "INT")
    (tmp_path / "port").write_text(str(port))
    _trace(tmp_path, "service", *driven, "--", PYTHON, "app.py", str(port))
    _trace(tmp_path, "jobs", "--append", "--", PYTHON, "migrate.py")
    _trace(tmp_path, "empty", "--append", "--", PYTHON, "-c", "import os; print(os.listdir('.'))")
    return tmp_path


def _trace(folder: Path, where: str, *arguments: str) -> None:
    done = run_slimtrace(
        "-q", "run", "-o", f"{folder}/app.trace", *arguments, cwd=f"{folder}/{where}"
    )
    assert "slimtrace: " not in done.stderr, done.stderr


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _build(folder: Path, to: str, *arguments: str) -> None:
    done = run_slimtrace("-q", "build", f"{folder}/app.trace", "-o", to, *arguments)
    assert done.returncode == 0, done.stderr


def _start(tree: Path, cwd: Path, *argv: str) -> subprocess.Popen[str]:
    def enter() -> None:
        os.chroot(tree)
        os.chdir(cwd)

    return subprocess.Popen(
        argv,
        preexec_fn=enter,  # noqa: PLW1509 -- nothing else runs here
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={},
    )


def _get(url: str) -> bytes:
    until = time.monotonic() + SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 -- ours
                body: bytes = answer.read()
                return body
        except OSError:
            assert time.monotonic() < until
            time.sleep(0.05)


def test_a_service_and_its_jobs_run_from_one_image(traced: Path) -> None:
    need_root()
    tree = traced / "slim"
    _build(traced, f"rootfs:{tree}")
    job = _start(tree, traced / "jobs", PYTHON, "migrate.py")
    assert (job.communicate(timeout=SECONDS)[0], job.returncode) == ("(1,)\n", 0)
    job = _start(tree, traced / "empty", PYTHON, "-c", "import os; print(os.listdir('.'))")
    assert (job.communicate(timeout=SECONDS)[0], job.returncode) == ("[]\n", 0)
    port = (traced / "port").read_text()
    service = _start(tree, traced / "service", PYTHON, "app.py", port)
    try:
        assert _get(f"http://127.0.0.1:{port}/") == b"hello"
    finally:
        service.kill()
        service.communicate(timeout=SECONDS)


@pytest.mark.parametrize(
    ("number", "cwd", "words", "signal"),
    [(1, "service", ["app.py", "PORT"], "SIGINT"), (2, "jobs", ["migrate.py"], None)],
)
def test_the_default_run(
    traced: Path, number: int, cwd: str, words: list[str], signal: str | None
) -> None:
    _build(traced, f"oci:{traced}/slim:latest", "--default-run", str(number))
    config = _config(traced / "slim")
    port = (traced / "port").read_text()
    assert "Entrypoint" not in config
    assert config["Cmd"] == [PYTHON, *(word.replace("PORT", port) for word in words)]
    assert config["WorkingDir"] == f"{traced}/{cwd}"
    assert config.get("StopSignal") == signal
    output = run_slimtrace("show", f"{traced}/app.trace").stdout
    assert f"run {number}: {PYTHON} {words[0]}" in output


def _config(layout: Path) -> dict[str, Any]:
    def blob(digest: str) -> Any:
        return json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())

    (manifest,) = json.loads((layout / "index.json").read_text())["manifests"]
    found: dict[str, Any] = blob(blob(manifest["digest"])["config"]["digest"])["config"]
    return found


def test_an_unknown_run(traced: Path) -> None:
    image = traced / "x.tar"
    done = run_slimtrace("build", f"{traced}/app.trace", "-o", str(image), "--default-run", "4")
    check_failure(
        done,
        2,
        "cannot use --default-run 4: the trace has 3 runs",
        "slimtrace show TRACE numbers them",
    )
    assert not image.exists()
