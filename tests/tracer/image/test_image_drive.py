"""Drivers of an app in an image: sockets and files of --ready are in the image's root."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from requirements import need_root, skip_missing
from roots import busybox_root, copy_program, describe_tree
from traces import run_slimtrace, show

from slimtrace.tracer.engines.choice import ENGINES

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from conftest import Tracee

    Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=ENGINES)
def run(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an image with a service, and check that no process of it is left."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "scratch"))
    tracee: Tracee = request.getfixturevalue("tracee")

    def run(
        argv: Sequence[str], *options: str, tree: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        root = busybox_root(tmp_path / "root", tree)
        copy_program(tracee("listens"), root, "bin/listens")
        before = describe_tree(root)
        arguments = ("-q", "run", "-o", str(tmp_path / "t"), "--engine", request.param)
        done = run_slimtrace(*arguments, "--image", f"rootfs:{root}", *options, "--", *argv)
        if "user namespaces" in done.stderr:
            skip_missing(done.stderr)
        assert "Traceback" not in done.stderr
        assert os.listdir(tmp_path / "scratch") == []
        assert describe_tree(root) == before
        return done

    return run


@pytest.mark.parametrize(
    ("ready", "socket"),
    [("unix:/work/s", "/work/s"), ("unix:s", "s"), ("unix:/link/s", "/link/s")],
    ids=["absolute", "relative to the workdir", "by an absolute link"],
)
def test_a_socket_of_the_image(run: Run, tmp_path: Path, ready: str, socket: str) -> None:
    """It needs no network, and absolute symlinks are resolved in the image."""
    options = ("--network", "none", "--workdir", "/work", "--http-get", "/page")
    driver = ("--exec", 'test -S "$SLIMTRACE_SOCKET" && echo "${SLIMTRACE_PORT:-no port}"')
    arguments = ("--ready", ready, *options, *(driver if "link" not in ready else ()))
    done = run(["listens", socket], *arguments, tree={"link": "-> /work"})
    assert done.returncode == 0, done.stderr
    assert done.stderr == ("no port\n" if "link" not in ready else "")
    about = show(str(tmp_path / "t"))["runs"][0]
    assert about["driven"]["answers"][0] == {"driver": "GET /page", "status": 200}
    assert (about["network"], about["driving"]["ready"]) == ("none", ready)


def test_a_file_of_the_image(run: Run, tmp_path: Path) -> None:
    done = run(["listens", "/work/s", "/work/up"], "--ready", "file:/work/up", "--exec", "true")
    assert done.returncode == 0, done.stderr
    assert show(str(tmp_path / "t"))["runs"][0]["driven"]["ready"] > 0.1
    assert not os.path.exists("/work/up")


@pytest.mark.parametrize("in_volume", [False, True])
def test_a_path_that_is_already_in_the_image(run: Run, tmp_path: Path, in_volume: bool) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/up").touch()
    volume = ("-v", f"{tmp_path}/data:/srv") if in_volume else ()
    done = run(["id"], "--ready", "file:/srv/up", *volume, tree={"srv/up": ""})
    assert done.returncode == 125
    assert "cannot wait for the app: /srv/up exists already, before it was started" in done.stderr


def test_a_line_and_commands_in_the_image(run: Run, tmp_path: Path) -> None:
    """Commands of --exec-in print to slimtrace's stderr, not among the app's lines."""
    script = "echo one; echo two >&2; trap 'echo bye; exit 4' TERM; while :; do sleep 0.05; done"
    beside = ("--exec-in", "sh -c 'echo out; echo err >&2'")
    done = run(["sh", "-c", script], "--ready", "log:two", *beside)
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\nbye\n", "two\nout\nerr\n")


def test_the_last_lines_of_an_app_in_an_image(run: Run) -> None:
    done = run(["sh", "-c", "echo why >&2; exit 9"], "--ready", "log:never")
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        "why",
        "slimtrace: cannot drive the app: it ended before it was ready: exit status 9",
        "    why",
    ]


def test_a_user_of_the_image_can_open_the_streams(run: Run) -> None:
    need_root()
    script = "echo one >/dev/stdout; echo two >/dev/stderr; [ -t 1 ] || echo no terminal"
    done = run(["sh", "-c", script], "--user", "web", "--ready", "log:two")
    assert (done.returncode, done.stdout, done.stderr) == (0, "one\nno terminal\n", "two\n")


@pytest.mark.parametrize(
    "options",
    [
        ("--ready", "tcp:80"),
        ("--ready", ":80"),
        ("--http-get", "/"),
        ("--ready", "1", "--http-get", "/"),
    ],
)
def test_drivers_that_need_a_network(tmp_path: Path, options: tuple[str, ...]) -> None:
    arguments = ("--image", f"rootfs:{tmp_path}", "--network", "none", *options)
    done = run_slimtrace("run", "-o", f"{tmp_path}/t", *arguments, "--", "id")
    assert done.returncode == 2
    assert "with --network none: nothing outside reaches the app" in done.stderr
