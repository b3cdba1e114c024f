"""A write that the kernel refuses, in real runs as root and as another user."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from requirements import need_root
from small_images import make_slim, slimtrace_in, small_image
from traces import run_slimtrace

from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from pathlib import Path

FILES = {"srv/file": "content", "own/file": "content", "srv/log": "-> /dev/stdout"}


def prepare(root: Path) -> None:
    (root / "own/file").chmod(0o600)
    for path in ("own", "own/file"):
        os.chown(root / path, 1000, 1001)


@pytest.mark.parametrize("engine", ["notify", "ptrace-syscall"])
@pytest.mark.parametrize(
    ("user", "code", "path", "uses"),
    [
        ("web", "exec 3<>/srv/file", "/srv/file", "read"),
        ("web", "exec 3>/srv/file", "/srv/file", "stat"),
        ("web", "exec 3>>/srv/file", "/srv/file", "stat"),
        ("web", "rm -f /srv/file", "/srv/file", "stat"),
        ("web", "exec 3<>/own/file", "/own/file", "read write"),
        ("web", "exec 3>/srv/log", "/srv/log", "write"),
        ("0", "exec 3<>/srv/file", "/srv/file", "read write"),
        ("0", "rm -f /srv/file", "/srv/file", "delete stat"),
    ],
)
def test_uses_of_a_file(
    tmp_path: Path, engine: str, user: str, code: str, path: str, uses: str
) -> None:
    need_root()
    image = small_image(tmp_path, FILES, f"user={user}", prepare=prepare)
    argv = ("--engine", engine, "--", "sh", "-c", f"({code}) 2>/bin/nothing; ({code}); true")
    done = slimtrace_in(tmp_path, "-q", "run", "--image", image, "-o", "app.trace", *argv)
    assert done.returncode == 0, done.stderr
    found = read_trace([f"{tmp_path}/app.trace"]).paths[path].uses
    assert " ".join(sorted(found)) == uses


def test_a_user_of_this_machine(tmp_path: Path) -> None:
    """A process drops its privilege: what it may not write is read, what it may is written."""
    need_root()
    for name, mode in (("closed", 0o644), ("open", 0o666)):
        (tmp_path / name).write_text("content")
        (tmp_path / name).chmod(mode)
    code = (
        "import contextlib, os\nos.chdir(%r)\nos.setgroups([])\nos.setresgid(65534, 65534, 65534)\n"
        "os.setresuid(65534, 65534, 65534)\nfor name in ('closed', 'open'):\n"
        "  with contextlib.suppress(PermissionError): open(name, 'r+')"
    )
    argv = (sys.executable, "-c", code % str(tmp_path))
    trace = f"{tmp_path}/app.trace"
    done = run_slimtrace("-q", "run", "-o", trace, "--", *argv)
    assert done.returncode == 0, done.stderr
    paths = read_trace([trace]).paths
    assert sorted(paths[f"{tmp_path}/closed"].uses) == ["read"]
    assert sorted(paths[f"{tmp_path}/open"].uses) == ["read", "write"]


@pytest.mark.parametrize(("user", "is_warned"), [("web", False), ("0", True)])
def test_build_warns_of_writes_alone(tmp_path: Path, user: str, *, is_warned: bool) -> None:
    need_root()
    argv = ("--", "sh", "-c", "(exec 3<>/srv/file) 2>&1; true")
    image = small_image(tmp_path, FILES, f"user={user}")
    printed = make_slim(tmp_path, image, *argv, build=("--user", "web"))
    assert ("the app wrote to /srv/file" in printed) == is_warned
