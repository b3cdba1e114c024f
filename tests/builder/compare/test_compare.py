"""``slimtrace compare``: questions that no run asked, what is behind them, and healing."""

from __future__ import annotations

import json
import os
import shutil
import socket
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from roots import busybox_root
from traces import environment, run_slimtrace, show

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

JOB = "#!/bin/sh\ncat /app/$1 && echo of $1, by $$ at `date` && exit $2\n"
SITE = {
    "www/index.html": "<p>start</p><a href=/late/one.html>late</a>\n",
    "www/asked.html": "<p>asked</p>\n",
    "www/late/one.html": "<p>one</p>\n",
    "www/late/two.txt": "two\n",
}
MODULES = """
import http.server, importlib, sys

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        status = 200
        try:
            body = importlib.import_module(self.path.strip("/") or "json").__doc__[:20]
        except ModuleNotFoundError as error:
            body, status = str(error), 500
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass

http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass(frozen=True)
class Workspace:
    """A folder with a full image in ``full`` and a port that is free."""

    folder: Path
    port: int

    def slimtrace(self, *argv: str) -> subprocess.CompletedProcess[str]:
        cache = str(self.folder / "cache")
        env = environment(XDG_CACHE_HOME=cache, TMPDIR=str(self.folder))
        return run_slimtrace(*argv, cwd=str(self.folder), env=env)

    def make_slim(self, *argv: str, image: str = "rootfs:full") -> None:
        """Trace, and build ``app.tar``, in which is only what was used."""
        where = ("--image", image) if image != "rootfs:/" else ()
        done = self.slimtrace("-q", "run", "-o", "app.trace", *where, *argv)
        assert done.returncode == 0, done.stderr
        done = self.slimtrace("-q", "build", "app.trace", "-o", "app.tar", "--keep", "touched")
        assert done.returncode == 0, done.stderr

    def compare(self, *argv: str, status: int) -> dict[str, Any]:
        """The document of ``--json``."""
        done = self.slimtrace("compare", "--json", *argv)
        assert done.returncode == status, done.stderr
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    @property
    def site(self) -> tuple[str, ...]:
        """The argv of a server of /www."""
        return ("busybox", "httpd", "-f", "-p", f"127.0.0.1:{self.port}", "-h", "/www")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    job = {"app/job": JOB, "app/one": "1\n", "app/two": "2\n"}
    root = busybox_root(tmp_path / "full", {**SITE, **job})
    (root / "bin/date").symlink_to("busybox")
    return Workspace(tmp_path, port)


def list_missing(answer: dict[str, Any]) -> list[str]:
    return [item["path"] for item in answer["missing"]]


def test_a_job_with_other_arguments(workspace: Workspace) -> None:
    workspace.make_slim("--", "/app/job", "one", "0")
    same = workspace.compare("rootfs:full", "app.tar", "--", "/app/job", "one", "0", status=0)
    assert same["answers"] == {"all": 1, "same": 1}
    assert (same["starts"], same["include"]) == ({"full": 1, "slim": 1}, [])
    found = workspace.compare("rootfs:full", "app.tar", "--", "/app/job", "two", "3", status=1)
    (question,) = found["questions"]
    assert question["question"] == "/app/job two 3"
    assert (question["full"]["status"], question["slim"]["status"]) == (3, 1)
    assert question["difference"] == "status 1, but status 3 in the full image"
    assert list_missing(question) == list_missing(found) == found["include"] == ["/app/two"]
    assert found["starts"] == {"full": 2, "slim": 2}


def test_what_people_read(workspace: Workspace) -> None:
    workspace.make_slim("--", "/app/job", "one", "0")
    done = workspace.slimtrace("compare", "rootfs:full", "app.tar", "--", "/app/job", "two", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1:] == [
        "slimtrace: /app/job two 0: status 1, but status 0 in the full image",
        "    slim: cat: can't open '/app/two': No such file or directory",
        "slimtrace: missing: /app/two (cat /app/two)",
        (
            "slimtrace: warning: app.tar differs from rootfs:full in 1 of 1 answer; build with "
            "--include /app/two"
        ),
    ]
    done = workspace.slimtrace("compare", "rootfs:full", "app.tar", "--", "/app/job", "one", "0")
    assert (done.returncode, done.stdout) == (0, "")
    last = done.stderr.splitlines()[-1]
    assert last == "slimtrace: compared app.tar with rootfs:full: 1 answer, none differs"


def test_requests_that_no_run_made_and_healing(workspace: Workspace) -> None:
    ready = ("--ready", f"tcp:{workspace.port}")
    workspace.make_slim(*ready, "--http-get", "/asked.html", "--", *workspace.site)
    asked = [f"/{path}" for path in ("asked.html", "late/one.html", "late/two.txt", "nowhere")]
    questions = [word for path in asked[:2] for word in ("--http-get", path)]
    questions += [word for path in asked[2:] for word in ("--http", f"GET {path} X-Any:1")]
    inside = ("--exec-in", "cat /www/index.html", "--exec", "echo $SLIMTRACE_PORT")
    argv = ("rootfs:full", "app.tar", *ready, *questions, *inside)
    found = workspace.compare(*argv, "--", *workspace.site, status=1)
    assert {each["question"]: each["same"] for each in found["questions"]} == {
        "GET /asked.html": True,
        "GET /late/one.html": False,
        "GET /late/two.txt": False,
        "GET /nowhere": True,
        "echo $SLIMTRACE_PORT": True,
        "cat /www/index.html": False,
        "end": True,
    }
    behind = {
        each["question"]: list_missing(each) for each in found["questions"] if not each["same"]
    }
    assert behind["GET /late/two.txt"] == ["/www/late/two.txt"]
    assert behind["cat /www/index.html"] == ["/bin/cat"]  # nobody could look for the page
    late = ["/www/late/one.html", "/www/late/two.txt"]
    assert found["include"] == ["/bin/cat", *late]
    healed = workspace.compare(*argv, "--trace", "app.trace", "--heal", status=0)
    assert sorted(healed["healed"]) == ["/bin/cat", "/www/index.html", *late]
    again = workspace.compare("rootfs:full", "app.tar", *argv[2:], "--", *workspace.site, status=0)
    assert again["answers"]["all"] == 7
    assert show(str(workspace.folder / "app.trace"))["healed"] == sorted(healed["healed"])


def test_requests_of_all_kinds_and_crawls(workspace: Workspace) -> None:
    ready = ("--ready", f"tcp:{workspace.port}")
    workspace.make_slim(*ready, "--http-get", "/", "--", *workspace.site)
    requests = workspace.folder / "late.http"
    requests.write_text("GET /late/two.txt\nAccept: text/plain\n")
    asked = ("--http-file", "late.http", "--http", "HEAD /asked.html", "--http-get", "/", "--crawl")
    argv = ("rootfs:full", "app.tar", *ready, *asked, "--", *workspace.site)
    found = workspace.compare(*argv, status=1)
    assert {each["question"]: each["same"] for each in found["questions"]} == {
        "GET /late/two.txt": False,
        "HEAD /asked.html": False,
        "GET /": True,
        "GET /late/one.html": False,
        "end": True,
    }
    late = ["/www/asked.html", "/www/late/one.html", "/www/late/two.txt"]
    assert found["include"] == late


def test_modules_that_are_looked_up_in_listings(tmp_path: Path, workspace: Workspace) -> None:
    """Python asks a folder that it has listed for no name that was not in it."""
    (tmp_path / "server.py").write_text(MODULES)
    python = shutil.which("python3", path="/usr/bin") or os.path.realpath(sys.executable)
    server = (python, "-IB", str(tmp_path / "server.py"), str(workspace.port))
    ready = ("--ready", f"tcp:{workspace.port}")
    workspace.make_slim(*ready, "--http-get", "/", "--", *server, image="rootfs:/")
    options = ("--trace", "app.trace", *ready, "--http-get", "/wave", "--http-get", "/no_module")
    found = workspace.compare("rootfs:/", "app.tar", *options, status=1)
    differing = [each for each in found["questions"] if not each["same"]]
    assert [each["question"] for each in differing] == ["GET /wave"]
    assert differing[0]["lines"]["slim"] == "No module named 'wave'"
    assert [os.path.basename(path) for path in list_missing(differing[0])] == ["wave.py"]


def test_verify_against_the_full_image(workspace: Workspace) -> None:
    """The status is as traced, the body is not."""
    script = "#!/bin/sh\ncat /app/one || echo nothing\n"
    (workspace.folder / "full/app/job").write_text(script)
    workspace.make_slim("--", "/app/job")
    verify = ("verify", "app.tar", "--trace", "app.trace")
    assert workspace.slimtrace(*verify, "--against-full").returncode == 0
    done = workspace.slimtrace("-q", "build", "app.trace", "-o", "app.tar", "--exclude", "/app/one")
    assert done.returncode == 0, done.stderr
    assert workspace.slimtrace(*verify).returncode == 0
    done = workspace.slimtrace(*verify, "--against-full", "--json")
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    (question,) = found["questions"]
    assert question["difference"] == "another body than in the full image"
    assert question["lines"]["full"] == "1"
    assert [item["path"] for item in found["left_out"]] == ["/app/one"]


def test_a_slim_image_that_does_not_start(workspace: Workspace) -> None:
    workspace.make_slim("--", "/app/job", "one", "0")
    site = ("--ready", f"tcp:{workspace.port}", "--http-get", "/asked.html", "--", "/bin/ls", "/")
    done = workspace.slimtrace("compare", "rootfs:full", "app.tar", *site)
    assert done.returncode == 125
    assert done.stderr.splitlines()[-2:] == [
        "slimtrace: cannot compare with rootfs:full: it ended before it was ready: exit status 0",
        (
            "slimtrace: find the options with which it starts, as --ready, --env or --volume; "
            "slimtrace --verbose shows what it prints"
        ),
    ]
    assert "\nwww\n" not in done.stderr  # what the app prints
    shown = workspace.slimtrace("-v", "compare", "rootfs:full", "app.tar", *site)
    assert "\nwww\n" in shown.stderr
    found = workspace.compare("rootfs:full", "app.tar", "--", "/bin/ls", "/www", status=1)
    start, answer = found["questions"]
    assert start["question"] == "start"
    assert list_missing(start) == ["/bin/ls"]
    assert start["difference"].startswith("it did not start in the slim image: ")
    assert answer["difference"] == "answered only in the full image"


def test_an_app_that_answers_otherwise_at_each_start(workspace: Workspace) -> None:
    """Only what two starts of the full image agree on can differ in the slim one."""
    state = workspace.folder / "state"
    state.mkdir()
    (state / "n").write_text("")
    count = "#!/bin/sh\necho x >>/state/n\ncat /state/n /app/$1\n"
    (workspace.folder / "full/app/job").write_text(count)
    where = ("-v", f"{state}:/state", "--volumes", "shared")
    workspace.make_slim(*where, "--", "/app/job", "one")
    argv = ("rootfs:full", "app.tar", *where, "--")
    workspace.compare(*argv, "/app/job", "one", status=0)
    found = workspace.compare(*argv, "/app/job", "two", status=1)
    assert found["include"] == ["/app/two"]
