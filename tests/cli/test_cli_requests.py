"""Requests with a method, headers and a body, and what their answers name, on a real server."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from traces import environment, run_slimtrace

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

# It prints each request; /login sets a cookie that /me wants, and /token answers with a token.
SERVER = """
import http.server, json, os, sys
PAGES = {"/": ("text/html", "<script src=/static/a.js></script><a href=/about>a</a>"),
         "/about": ("text/html", "<img src=/static/missing.png>")}
class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_): pass
    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in {"Content-Length": len(body), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)
    def handle_any(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        more = [self.headers[name] for name in ("Content-Type", "Authorization", "Cookie")
                if self.headers[name]]
        print(self.command, self.path, *more, body, flush=True)
        if self.path in PAGES:
            kind, page = PAGES[self.path]
            return self.answer(200, page.encode(), Content_Type=kind)
        if self.path.startswith("/static/") and os.path.exists("." + self.path):
            with open("." + self.path, "rb") as file:
                return self.answer(200, file.read(), Content_Type="text/javascript")
        if self.path == "/login":
            return self.answer(303, Set_Cookie="sid=42; HttpOnly; Secure", Location="/me")
        if self.path == "/token":
            return self.answer(200, b'{"auth": ["t1"]}')
        if self.path == "/api.json":
            paths = {"/users": {"post": {}}, "/users/{id}": {"delete": {}}}
            return self.answer(200, json.dumps({"openapi": "3.0.0", "paths": paths}).encode())
        self.answer(404 if self.path.startswith("/static/") else 200)
    do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = handle_any
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@pytest.fixture
def port() -> str:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "static").mkdir()
    (tmp_path / "static/a.js").write_text("import './b.js'")
    (tmp_path / "static/b.js").write_text("")
    (tmp_path / "user.json").write_text('{"name": "Ann"}')
    return tmp_path


def drive(
    folder: Path, port: str, *options: str, command: str = "run", to: str = "t.trace"
) -> subprocess.CompletedProcess[str]:
    argv = (os.path.realpath(sys.executable), "-SIB", str(folder / "server.py"), port)
    env = environment(XDG_CACHE_HOME=str(folder / "cache"), TOKEN="t0p secret")  # noqa: S106 -- it is not one
    words = (command, "-o", to, "--ready", f"tcp:{port}", *options, "--", *argv)
    return run_slimtrace(*words, cwd=str(folder), env=env)


def driven(folder: Path) -> list[tuple[str, int | None]]:
    done = run_slimtrace("show", "t.trace", "--json", cwd=str(folder))
    answers = json.loads(done.stdout)["runs"][0]["driven"]["answers"]
    return [(answer["driver"], answer["status"]) for answer in answers]


def test_steps_are_run_in_the_order_of_the_command_line(folder: Path, port: str) -> None:
    done = drive(
        *(folder, port, "--exec", "true", "--http", "POST /users @user.json", "--http-get=/a"),
        *("--exec", "echo between", "--http", "PUT /users/1 name=Bob", "--http-get", "/b"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        'POST /users application/json {"name": "Ann"}',
        "GET /a ",
        "PUT /users/1 application/x-www-form-urlencoded name=Bob",
        "GET /b ",
    ]
    assert [name for name, _ in driven(folder)] == [
        *("true", "POST /users", "GET /a", "echo between", "PUT /users/1", "GET /b")
    ]


def test_what_earlier_answers_gave(folder: Path, port: str) -> None:
    """Cookies, and parts of answers. The trace has no value of the environment."""
    (folder / "api.http").write_text(
        "POST /login\n\nkey={{$env TOKEN}}\n###\n# @name token\nGET /token\n###\n"
        "GET /me?t={{token.response.body.$.auth[0]}}\n"
    )
    header = ("--http-header", "Authorization: Bearer {{$env TOKEN}}")
    done = drive(folder, port, "--http-file", "api.http", *header)
    assert done.returncode == 0, done.stderr
    form = "application/x-www-form-urlencoded"
    assert done.stdout.splitlines() == [
        f"POST /login {form} Bearer t0p secret key=t0p secret",
        "GET /token Bearer t0p secret sid=42 ",
        "GET /me?t=t1 Bearer t0p secret sid=42 ",
    ]
    assert b"t0p" not in (folder / "t.trace").read_bytes()
    assert stat.S_IMODE((folder / "t.trace").stat().st_mode) == 0o600
    merged = run_slimtrace("merge", "t.trace", "-o", "m.trace", cwd=str(folder))
    assert merged.returncode == 0, merged.stderr
    assert stat.S_IMODE((folder / "m.trace").stat().st_mode) == 0o600


def test_a_part_that_no_answer_has(folder: Path, port: str) -> None:
    (folder / "a.http").write_text("# @name a\nGET /token\n###\nGET /{{a.response.body.$.no}}\n")
    done = drive(folder, port, "--http-file", "a.http")
    assert done.returncode == 1
    assert "cannot drive the app: no answer has {{a.response.body.$.no}}\n" in done.stderr


def test_a_document_of_the_app(folder: Path, port: str) -> None:
    done = drive(folder, port, "--openapi", f"http://localhost:{port}/api.json")
    assert done.returncode == 0, done.stderr
    assert "sent 2 more requests: 2 answered below 400" in done.stderr
    assert driven(folder) == [
        *(("GET /api.json", 200), ("POST /users", 200), ("DELETE /users/{id}", 200))
    ]


def test_a_document_that_is_none(folder: Path, port: str) -> None:
    done = drive(folder, port, "--openapi", f"http://localhost:{port}/token")
    assert done.returncode == 1
    assert "cannot drive the app: /token: it has no openapi and no paths\n" in done.stderr


def test_a_crawl(folder: Path, port: str) -> None:
    done = drive(folder, port, "--http-get", "/", "--crawl")
    assert done.returncode == 0, done.stderr
    assert "sent 4 more requests: 3 answered below 400, 1 with 404" in done.stderr
    assert driven(folder) == [
        *(("GET /", 200), ("GET /static/a.js", 200), ("GET /about", 200)),
        *(("GET /static/b.js", 200), ("GET /static/missing.png", 404)),
    ]


def test_without_a_crawl_it_is_said(folder: Path, port: str) -> None:
    done = drive(folder, port, "--http-get", "/")
    assert done.returncode == 0, done.stderr
    assert "answers name 1 path that nothing asked for: /static/a.js; see --crawl" in done.stderr


def test_the_slim_image_answers_the_same(folder: Path, port: str) -> None:
    """Verify requests what was found again, and finds nothing anew."""
    options = ("--http-get", "/", "--crawl", "0", "--openapi", f"http://localhost:{port}/api.json")
    request = ("--http", "POST /users\nAuthorization: {{$env TOKEN}}\n\n< user.json")
    done = drive(folder, port, *options, *request, command="slim", to="app.tar")
    assert done.returncode == 0, done.stderr
    assert "verified app.tar: nothing is missing, all went as traced" in done.stderr
    asked = [line for line in done.stdout.splitlines() if not line.startswith("slimtrace")]
    first, at = asked[:7], 0
    for line in first:  # a message of slimtrace can stand before one
        at = done.stderr.find(line.strip(), at)
        assert at >= 0, (line, done.stderr)
    assert "GET /static/b.js " in first


def test_slim_warns_of_named_files_that_the_image_lacks(folder: Path, port: str) -> None:
    options = ("--http-get", "/", "--exclude", str(folder / "static"), "--json")
    done = drive(folder, port, *options, command="slim", to="app.tar")
    assert done.returncode == 0, done.stderr
    named = json.loads(done.stdout[done.stdout.index("{\n") :])["named"]
    assert named == [{"url": "/static/a.js", "path": str(folder / "static/a.js")}]


def test_an_option_of_the_app_is_not_ours(tmp_path: Path) -> None:
    done = run_slimtrace("run", "-o", "t", "echo", "--crawl", "--http", "x", cwd=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "--crawl --http x\n"), done.stderr
