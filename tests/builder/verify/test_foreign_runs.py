"""Traces from elsewhere are data: nothing of them is run or mounted without ``--trust``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from roots import busybox_root
from traces import environment, run_slimtrace

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

IMAGE = ("--image", "rootfs:full", "-v", "given:/given", "--ready", "log:up")
TRACE = ("-q", "run", *IMAGE, "-o")
"""Where the state folder is not the same, a command is another user's, or of another machine."""


def call(folder: Path, *arguments: str, state: str = "state") -> subprocess.CompletedProcess[str]:
    env = environment(XDG_CACHE_HOME=f"{folder}/cache", XDG_STATE_HOME=f"{folder}/{state}")
    return run_slimtrace(*arguments, cwd=str(folder), env=env)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image, a trace ``mine`` of a driven run in it, and the slim ``tree``."""
    tmp_path = tmp_path_factory.mktemp("foreign") / "work"
    tmp_path.mkdir()
    busybox_root(
        tmp_path / "full", {"app/job": "#!/bin/sh\necho up\nsleep 1000\n", "given/which": ""}
    )
    (tmp_path / "given").mkdir()
    done = call(tmp_path, *TRACE, "mine", "--exec", "echo >> ../ran", "--", "/app/job")
    assert done.returncode == 0, done.stderr
    assert call(tmp_path, "-q", "build", "mine", "-o", "rootfs:tree").returncode == 0
    return tmp_path


@pytest.fixture
def folder(made: Path) -> Path:
    """The same, where the driver has not run."""
    (made.parent / "ran").unlink(missing_ok=True)
    return made


def test_own_traces_are_repeated(folder: Path) -> None:
    done = call(folder, "-q", "verify", "rootfs:tree", "--trace", "mine")
    assert done.returncode == 0, done.stderr
    assert (folder.parent / "ran").exists()


@pytest.mark.parametrize(
    "command",
    [
        ("verify", "rootfs:tree", "--trace"),
        ("verify", "rootfs:tree", "--heal", "--trace"),
        ("build", "--jlink", "-o", "new.tar"),
        ("build", "--jlink-modules", "java.base", "-o", "new.tar"),
    ],
    ids=["verify", "verify --heal", "build --jlink", "build --jlink-modules"],
)
def test_traces_of_others_are_not(folder: Path, command: tuple[str, ...]) -> None:
    done = call(folder, *command, "mine", state="other")
    assert done.returncode == 125
    first, *listed, last = done.stderr.splitlines()
    assert first.startswith("slimtrace: cannot repeat the runs of this trace: nothing shows that")
    assert [line.strip() for line in listed] == [
        "run 1: /app/job",
        f"in rootfs:{folder}/full, directory /, user 0:0, network host",
        f"--volume {folder}/given:/given",
        "--ready log:up",
        f"--exec 'echo >> ../ran' (in {folder})",
    ]
    assert last == "slimtrace: if you trust each of these lines, add --trust"
    assert not (folder.parent / "ran").exists()
    assert not (folder / "new.tar").exists()


def test_they_are_with_trust(folder: Path) -> None:
    done = call(folder, "verify", "rootfs:tree", "--trace", "mine", "--trust", state="other")
    assert done.returncode == 0, done.stderr
    assert (folder.parent / "ran").exists()


def test_a_command_that_was_changed(folder: Path) -> None:
    content = (folder / "mine").read_text()
    assert content.count("echo >> ../ran") == 2  # as an option, and as a driver that ran
    hostile = content.replace("echo >> ../ran", "touch ../\\u001b[2Jran")
    (folder / "hostile").write_text(hostile)
    done = call(folder, "verify", "rootfs:tree", "--trace", "hostile")
    assert done.returncode == 125
    assert "--exec 'touch ../\\x1b[2Jran'" in done.stderr, "it is shown without its effect"
    assert not any("ran" in path.name for path in folder.parent.iterdir())


def test_a_trace_with_runs_of_others(folder: Path) -> None:
    """Merged or appended, each run keeps its author."""
    done = call(folder, *TRACE, "theirs", "--exec", "touch x", "--", "/app/job", state="other")
    assert done.returncode == 0, done.stderr
    merge = ("-q", "merge", "mine", "theirs", "-o", "both")
    assert call(folder, *merge).returncode == 0
    append = (*TRACE, "theirs", "--append", "--exec", "true", "--", "/app/job")
    assert call(folder, *append).returncode == 0
    for trace, run in (("both", "run 2: "), ("theirs", "run 1: ")):
        done = call(folder, "verify", "rootfs:tree", "--trace", trace)
        assert done.returncode == 125
        assert [line for line in done.stderr.splitlines() if "run " in line[:8]] == [
            f"    {run}/app/job"
        ]
    slim = ("slim", "-o", "rootfs:new", "--trace", "theirs", "--append", *IMAGE)
    done = call(folder, *slim, "--exec", "true", "--", "/app/job")
    assert done.returncode == 125
    assert "if you trust each of these lines" in done.stderr


def test_slim_repeats_what_it_traced_itself(folder: Path) -> None:
    """Also where no key can be kept."""
    slim = ("-q", "slim", "-o", "rootfs:new", *IMAGE, "--exec", "true")
    done = call(folder, *slim, "--", "/app/job", state="full/bin/busybox")
    assert done.returncode == 0, done.stderr
