"""Rules that start the image, with services that pass and services that fail one rule."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from check_images import (
    File,
    Result,
    check,
    interpreter,
    make_layer,
    make_layout,
    make_python_layer,
)
from requirements import need_root
from roots import busybox_root, describe_tree
from traces import allow_all_users, command, environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SERVER = """
import http.server, os, signal, socket, sys, time

words = dict(word.split("=", 1) for word in sys.argv[1:])

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status = 200 if self.path in ("/", "/health") else 404
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

class Server(http.server.HTTPServer):
    address_family = socket.AF_INET6 if ":" in words.get("bind", "") else socket.AF_INET

def stop(*_):
    time.sleep(float(words.get("drain", 0)))
    sys.exit(0)

match words.get("term", "handled"):
    case "handled":
        signal.signal(signal.SIGTERM, stop)
    case "ignored":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    case "waited":
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
if "prints" in words:
    print(words["prints"], flush=True)
    print("that was all", file=sys.stderr)
if "exits" in words:
    sys.exit(int(words["exits"]))
if "reads" in words:
    open(words["reads"]).close()
if "writes" in words:
    open(words["writes"], "w").close()
if "demands" in words and os.getuid() != int(words["demands"]):
    sys.exit("only root may do this")
port = int(words.get("port") or os.environ.get("PORT") or 0)
where = (words.get("bind", "0.0.0.0"), port)
if "sleeps" in words:
    while True:
        time.sleep(1)
if words.get("speaks") == "nothing":
    with socket.create_server(where) as server:
        if words.get("term") == "waited":
            signal.sigwait({signal.SIGTERM})
            sys.exit(0)
        while True:
            server.accept()[0].close()
if words.get("speaks") == "ssh":
    with socket.create_server(where) as server:
        while True:
            connection, _ = server.accept()
            connection.sendall(b"SSH-2.0-OpenSSH_9.2\\r\\n")
            connection.close()
Server(where, Handler).serve_forever()
"""
CONFIG: dict[str, Any] = {"User": "65532:65532", "WorkingDir": "/app"}
PLATFORMS = ("kubernetes", "knative", "cloud-run", "app-engine", "istio", "docker")

ANY = "0.0.0.0"  # noqa: S104 -- only printed, not bound


@pytest.fixture
def images(tmp_path: Path, shared: Path) -> Callable[..., Result]:
    """Check the server with these arguments."""

    def checked(
        arguments: str,
        *options: str,
        user: str = "65532:65532",
        platforms: tuple[str, ...] = ("knative", "docker"),
    ) -> Result:
        image = serving(shared, user)
        named = (word for platform in platforms for word in ("--platform", platform))
        patience = ("--ready-timeout", "20")
        given = (*named, *patience, *options, "--", *arguments.split())
        return check(tmp_path, image, *given, cache=shared / "cache")

    return checked


def serving(shared: Path, user: str) -> str:
    """An image with the server, made once for all workers."""
    folder = shared / f"check-{user.partition(':')[0]}"
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            own = File("x", 0o600, 65532, 65532)
            tree: dict[str, File | str] = {
                "app/server.py": SERVER,
                "app/own": own,
                "srv/": File(mode=0o777),
            }
            part = shared / f"{folder.name}.part"
            command = {"Entrypoint": [interpreter(), "-IB", "/app/server.py"], "Cmd": ["exits=3"]}
            make_layout(
                part,
                [make_python_layer(shared), make_layer(tree)],
                {**CONFIG, **command, "User": user},
            )
            os.rename(part, folder)
    return f"oci:{folder}"


def list_broken(found: Result) -> dict[str, str]:
    """The worst status of each measured rule on any platform."""
    worst: dict[str, str] = {}
    for each in found.document["rules"]:
        if each["measured"] and each["status"] in {"warn", "fail"}:
            worst[each["rule"]] = min(worst.get(each["rule"], "warn"), each["status"])
    return worst


def test_a_good_service_breaks_none(images: Callable[..., Result]) -> None:
    found = images("term=handled", platforms=PLATFORMS)
    assert list_broken(found) == {}
    measured = {each["rule"] for each in found.document["rules"] if each["measured"]}
    assert measured == {
        *("starts", "ready-in-time", "starts-read-only", "starts-unprivileged"),
        *("starts-as-any-user", "port-honoured", "listens-outside", "answers-http"),
        *("sidecar-ports", "stops-in-grace"),
    }
    starts = found.document["starts"]
    assert [*starts] == ["usual", "read-only", "unprivileged", "any-user"]
    usual = starts["usual"]
    port = usual["listening"][0]["port"]
    assert usual["listening"] == [{"address": ANY, "port": port, "outside": True}]
    assert usual["answer"] == {"status": 200, "version": "HTTP/1.1"}
    assert (usual["user"], usual["exit_status"], usual["failure"]) == ("65532:65532", None, None)
    stopped = usual["stopped"]
    assert (stopped["signal"], stopped["handled"], stopped["killed"]) == ("SIGTERM", True, False)
    assert 0 < usual["ready"] < 20
    assert starts["any-user"]["user"] == "1000650000:0"


FAILS, WARNS = "fail", "warn"
CASES: dict[str, tuple[str, dict[str, str], str, str]] = {
    # what the service does: its arguments, the rules that fail, a part of one rule's detail
    "has a port of its own": (
        "port=FREE",
        {"port-honoured": FAILS},
        "port-honoured",
        "it listens on 0.0.0.0:FREE",
    ),
    "listens on loopback": (
        "bind=127.0.0.1",
        {"listens-outside": FAILS},
        "listens-outside",
        "where nothing outside reaches it",
    ),
    "listens on IPv6's loopback": (
        "bind=::1",
        {"listens-outside": FAILS},
        "listens-outside",
        "it listens on [::1]:",
    ),
    "listens on all of IPv6": ("bind=::", {}, "listens-outside", "it listens on [::]:"),
    "ignores SIGTERM": (
        "term=ignored",
        {"stops-in-grace": FAILS},
        "stops-in-grace",
        "SIGTERM did not end it in 1 s",
    ),
    "takes its time to end": (
        "drain=3",
        {"stops-in-grace": FAILS},
        "stops-in-grace",
        "did not end it in 1 s",
    ),
    "does nothing about SIGTERM": (
        "term=default",
        {"stops-in-grace": FAILS},
        "stops-in-grace",
        "does not handle it, so that it is lost",
    ),
    "waits for SIGTERM": ("term=waited speaks=nothing", {"answers-http": FAILS}, "", ""),
    "writes to /srv": (
        "writes=/srv/file",
        {"starts-read-only": FAILS},
        "starts-read-only",
        "it ended before it was ready: exit status 1",
    ),
    "writes to /tmp": ("writes=/tmp/file", {}, "", ""),
    "says nothing": (
        "speaks=nothing",
        {"answers-http": FAILS},
        "answers-http",
        "a GET by HTTP/1.1 failed",
    ),
    "is no web server": (
        "speaks=ssh",
        {"answers-http": FAILS},
        "answers-http",
        "it said 'SSH-2.0-OpenSSH_9.2",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_a_service_breaks(images: Callable[..., Result], name: str) -> None:
    arguments, expected, rule, says = CASES[name]
    port = str(free_port())
    found = images(arguments.replace("FREE", port), "--grace", "1")
    assert list_broken(found) == expected
    assert found.status == (1 if FAILS in expected.values() else 0) or found.broken()
    if rule:
        details = [each["detail"] for each in found.document["rules"] if each["rule"] == rule]
        assert any(says.replace("FREE", port) in detail for detail in details), details


def test_a_file_of_its_own_user(images: Callable[..., Result]) -> None:
    """Only as root: then files have the owners that the layers give."""
    need_root()
    found = images("reads=/app/own", platforms=("kubernetes",))
    assert list_broken(found) == {"starts-as-any-user": WARNS}
    (line,) = [line for line in found.of("starts-as-any-user")["lines"] if "/app/own" in line]
    assert "Permission denied" in line


def test_what_root_alone_may(images: Callable[..., Result]) -> None:
    found = images("demands=0", user="0:0")
    assert list_broken(found) == {"starts-unprivileged": FAILS}
    unprivileged = found.document["starts"]["unprivileged"]
    assert (unprivileged["user"], unprivileged["exit_status"]) == ("65532:65532", 1)
    assert unprivileged["lines"] == ["only root may do this"]


def test_patience(images: Callable[..., Result]) -> None:
    found = images("term=handled", "--startup", "0.001")
    assert list_broken(found) == {"ready-in-time": FAILS}


def test_ports_of_the_sidecar(images: Callable[..., Result]) -> None:
    found = images("term=handled", "-e", "PORT=15021", platforms=("istio", "app-engine"))
    assert list_broken(found) == {"sidecar-ports": FAILS}
    assert found.of("port-honoured")["detail"] == "with PORT=15021 it listens there"


def test_a_url_shows_that_it_is_ready(images: Callable[..., Result]) -> None:
    """The request goes to the port in PORT, even if the app uses another port."""
    found = images("term=handled", "--ready", "http://localhost:8080/health")
    assert list_broken(found) == {}
    found = images("term=handled", "--ready", "http://localhost:8080/none", "--ready-timeout", "1")
    assert list_broken(found) == {}  # a 404 counts as an answer
    assert found.document["starts"]["usual"]["answer"]["status"] == 404


def test_a_job_is_no_service(images: Callable[..., Result]) -> None:
    found = images("exits=0 prints=done")
    assert list_broken(found) == {}
    assert found.of("starts")["detail"].startswith("a job: it ended with exit status 0")
    skipped = {each["rule"] for each in found.document["rules"] if each["status"] == "skip"}
    assert {"port-honoured", "listens-outside", "answers-http", "stops-in-grace"} <= skipped
    assert "it is a job" in found.of("answers-http")["detail"]


def test_what_does_not_start_says_why(images: Callable[..., Result]) -> None:
    found = images("exits=3 prints=connecting")
    assert (found.status, list_broken(found)) == (1, {"starts": FAILS})
    starts = found.of("starts")
    assert starts["detail"] == "it ended before it was ready: exit status 3"
    assert sorted(starts["lines"]) == ["connecting", "that was all"]
    assert [*found.document["starts"]] == ["usual"]
    assert found.of("stops-in-grace")["detail"] == "it did not start"
    assert "as usual either" in found.of("starts-read-only")["detail"]


def test_what_is_never_ready(images: Callable[..., Result]) -> None:
    found = images("sleeps=1", "--ready-timeout", "1")
    assert found.of("starts")["detail"] == "it listened on no TCP port in 1 s"
    found = images("sleeps=1 prints=here", "--ready", "log:here")
    assert list_broken(found) == {"port-honoured": FAILS, "answers-http": FAILS}
    assert found.of("listens-outside")["detail"] == "it listens on no TCP port"


def test_other_words_stand_in_the_place_of_cmd(images: Callable[..., Result]) -> None:
    """Without the option, the image's stop signal is used, as in the other tests."""
    found = images("bind=127.0.0.1")
    assert list_broken(found) == {"listens-outside": FAILS}
    assert found.document["starts"]["usual"]["command"][-1] == "bind=127.0.0.1"
    found = images("")
    assert found.document["starts"]["usual"]["command"][-1] == "exits=3"


def test_what_it_is_not_started_for(images: Callable[..., Result]) -> None:
    found = images("exits=3", "--no-run")
    assert found.document["starts"] == {}
    assert not any(each["measured"] for each in found.document["rules"])


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


SLEEPS = "trap '' TERM INT; echo here; while :; do sleep 0.1; done"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = busybox_root(tmp_path / "root", {"given/file": "", "data/file": "given\n"})
    (root / "given/file").unlink()
    return root


def test_what_is_given_to_it(tree: Path, tmp_path: Path) -> None:
    """The app gets its volume, its variable and PID 1, and handles the stop signal."""
    script = "trap 'exit 0' TERM; cat /given/file; echo $$; echo $WORD; while :; do sleep 0.1; done"
    before = describe_tree(tree)
    options = ("-v", f"{tree}/data:/given:ro", "-e", "WORD=said", "--ready", "log:said")
    found = check(tmp_path, f"rootfs:{tree}", *options, "--", "sh", "-c", script)
    assert found.of("starts")["status"] == "pass"
    assert found.document["starts"]["usual"]["lines"] == ["given", "1", "said"]
    assert found.document["starts"]["usual"]["stopped"]["handled"]
    assert describe_tree(tree) == before


def test_a_program_that_is_not_there(tree: Path, tmp_path: Path) -> None:
    found = check(tmp_path, f"rootfs:{tree}", "--", "/bin/none")
    assert (found.status, found.of("starts")["status"]) == (1, "fail")
    assert "none" in found.of("starts")["detail"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_nothing_is_left_of_what_was_interrupted(
    tree: Path, tmp_path: Path, number: signal.Signals
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    env = environment(XDG_CACHE_HOME=str(tmp_path / "cache"), TMPDIR=str(scratch))
    arguments = command("check", f"rootfs:{tree}", "--", "sh", "-c", SLEEPS)
    with subprocess.Popen(arguments, env=env, stderr=subprocess.PIPE, text=True) as process:
        own = psutil.Process(process.pid)
        deadline = time.monotonic() + 60
        while not any("sleep" in child.name() for child in below(own)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        started = below(own)
        process.send_signal(number)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert errors.splitlines()[-1].endswith(f"{number.name} ended it")
    assert psutil.wait_procs(started, 10)[1] == []
    assert os.listdir(scratch) == []


def below(process: psutil.Process) -> list[psutil.Process]:
    return process.children(recursive=True)


@pytest.fixture
def folder_of_nobody(tmp_path: Path, unprivileged: tuple[str, ...]) -> Path:
    allow_all_users(tmp_path)
    root = busybox_root(tmp_path / "root")
    if os.geteuid() == 0:
        for path in [root, *root.rglob("*")]:
            shutil.chown(path, 65534, 65534) if not path.is_symlink() else None
    for name in ("work", "cache"):
        (tmp_path / name).mkdir()
        (tmp_path / name).chmod(0o1777)
    return tmp_path


def test_as_an_ordinary_user(folder_of_nobody: Path, unprivileged: tuple[str, ...]) -> None:
    folder = folder_of_nobody
    script = "trap 'exit 0' TERM; echo here; while :; do sleep 0.1; done"
    options = ("--platform", "kubernetes", "--ready", "log:here")
    arguments = (f"rootfs:{folder}/root", *options, "--", "sh", "-c", script)
    found = check(folder / "work", *arguments, prefix=unprivileged, cache=folder / "cache")
    starts = found.document["starts"]
    assert [(way, each["user"]) for way, each in starts.items()] == [
        ("usual", "0:0"),
        ("read-only", "0:0"),
        ("unprivileged", "65532:65532"),
        ("any-user", "1000650000:0"),
    ]
    assert all(each["failure"] is None for each in starts.values())
    assert found.of("stops-in-grace")["status"] == "pass"
    assert found.document["starts"]["usual"]["stopped"]["handled"]
