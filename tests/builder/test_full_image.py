"""Who opens the full image: root where its files can belong to others, else the caller."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from build_fixtures import make_trace
from requirements import skip_missing
from roots import busybox_root
from traces import allow_all_users, environment

from slimtrace.builder.full_image import needs_root
from slimtrace.tracer.trace.trace import Trace

HERE, TREE, LAYOUT = "rootfs:/", "rootfs:/srv/tree", "oci:/srv/layout:tag"


@pytest.mark.parametrize(
    ("images", "named", "expected"),
    [
        ([HERE], None, False),
        ([HERE, HERE], None, False),
        ([TREE], None, True),
        ([LAYOUT], None, True),
        ([HERE], HERE, False),
        ([HERE], "rootfs:/usr/..", False),
        ([HERE], TREE, True),
        ([HERE], LAYOUT, True),
        ([TREE], HERE, False),
        # Which image it is must be named.
        ([HERE, TREE], None, False),
        ([HERE, TREE], TREE, True),
        ([], None, False),
    ],
)
def test_which_images_need_root(images: list[str], named: str | None, expected: bool) -> None:
    (run,) = make_trace(Path("/"), []).runs
    runs = tuple(replace(run, image=image) for image in images)
    assert needs_root(Trace(runs), named) is expected


COMMANDS = [
    ("build", "app.trace", "-o", "app.tar"),
    ("suggest", "app.trace"),
    ("profile", "app.trace", "--apparmor", "app.aa"),
    ("sbom", "app.trace", "-o", "app.json"),
]
LAUNCHER = """
import atexit, os
# What opens Python may be a capability that is lost there:
import elftools.elf.elffile, rich.table
import slimtrace.tracer.engines.launch.sandbox, slimtrace.tracer.rerun
from slimtrace.main import main

def namespace():
    return os.readlink("/proc/self/ns/user")

before = namespace()
atexit.register(lambda: os.write(2, b"left" if namespace() != before else b"stayed"))
main()
"""


@pytest.fixture
def work(tmp_path: Path) -> Path:
    allow_all_users(tmp_path)
    return tmp_path


def launch(work: Path, prefix: tuple[str, ...], *arguments: str) -> str:
    """Run a command as an ordinary user; stderr ends with whether it left the user namespace."""
    done = subprocess.run(
        [*prefix, sys.executable, "-c", LAUNCHER, "-q", *arguments],
        check=False,
        cwd=work,
        env=environment(
            XDG_CACHE_HOME=str(work / "cache"),
            XDG_STATE_HOME=str(work / "state"),
            TMPDIR=str(work),
        ),
        capture_output=True,
        text=True,
    )
    if "cannot become root" in done.stderr or "user namespaces" in done.stderr:
        skip_missing(done.stderr)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_an_ordinary_user_stays_one_on_this_machine(
    work: Path, unprivileged: tuple[str, ...]
) -> None:
    program = str(shutil.which("true"))
    assert launch(work, unprivileged, "run", "-o", "app.trace", "--", program) == "stayed"
    for command in COMMANDS:
        assert launch(work, unprivileged, *command).endswith("stayed"), command


def test_an_ordinary_user_becomes_root_for_an_image(
    work: Path, unprivileged: tuple[str, ...]
) -> None:
    root = busybox_root(work / "root")
    root.chmod(0o755)
    run = ("run", "--image", f"rootfs:{root}", "-o", "app.trace", "--", "/bin/cat", "/etc/passwd")
    assert launch(work, unprivileged, *run).endswith("left")
    for command in (
        *COMMANDS,
        ("check", f"rootfs:{root}", "--no-run", "--", "/bin/cat", "/etc/passwd"),
    ):
        assert launch(work, unprivileged, *command).endswith("left"), command
    verify = ("verify", "app.tar", "--trace", "app.trace")
    assert launch(work, unprivileged, *verify).endswith("left")
