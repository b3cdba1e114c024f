"""High loads, under which tracers can lose events, grow without limit or hang."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from traces import SECONDS, command, environment, make_tree, show

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Trace, Tracee

FILES, THREADS = 20_000, 200
FORKS = 10_000


def test_a_burst_from_many_threads_loses_nothing(traced: Trace, tracee: Tracee) -> None:
    names = [f"f{i}" for i in range(FILES)]
    run = traced([tracee("burst"), ".", str(FILES), str(THREADS)], tree=dict.fromkeys(names, ""))
    assert (run.status, run.stderr) == (0, "")
    assert run.touches() == dict.fromkeys(names, "file read")
    assert run.gaps() == set()


def test_a_thousand_threads(traced: Trace, tracee: Tracee) -> None:
    names = [f"f{i}" for i in range(1000)]
    run = traced([tracee("burst"), ".", "1000", "1000"], tree=dict.fromkeys(names, ""))
    assert (run.status, run.stderr) == (0, "")
    assert run.touches() == dict.fromkeys(names, "file read")


def test_many_forks_lose_nothing(traced: Trace, tracee: Tracee) -> None:
    run = traced([tracee("fork_storm"), ".", str(FORKS)])
    assert (run.status, run.stderr) == (0, "")
    assert run.touches() == {f"child-{i}": "missing stat" for i in range(FORKS)}
    assert len(run.document["processes"]) == 1, "a fork is no new process image"


def test_many_execs(traced: Trace) -> None:
    run = traced(["sh", "-c", "i=0; while [ $i -lt 300 ]; do /bin/true $i; i=$((i+1)); done"])
    assert (run.status, run.stderr) == (0, "")
    assert len(run.document["processes"]) == 301
    assert {image["exit_status"] for image in run.document["processes"]} == {0}


@pytest.mark.parametrize(
    ("engine", "calls"), [("notify", 1_000_000), ("ptrace", 100_000), ("ptrace-syscall", 100_000)]
)
def test_a_call_made_often_is_written_once(traced: Trace, tracee: Tracee, calls: int) -> None:
    run = traced([tracee("many_calls"), ".", str(calls)], tree={"file": ""})
    assert (run.status, run.stderr) == (0, "")
    assert run.touches() == {"file": "file stat"}
    assert os.path.getsize(run.trace) < 20_000


@pytest.mark.parametrize(
    ("engine", "paths"), [("notify", 100_000), ("ptrace", 20_000), ("ptrace-syscall", 20_000)]
)
def test_many_paths(traced: Trace, tracee: Tracee, paths: int) -> None:
    """More paths than the caches of calls and lines hold. `make growth` measures a million."""
    run = traced([tracee("many_paths"), ".", str(paths)])
    assert (run.status, run.stderr) == (0, "")
    assert run.touches() == {f"path-{i}": "missing stat" for i in range(1, paths + 1)}


def test_two_slimtraces_at_once(tmp_path: Path, tracee: Tracee) -> None:
    """Each records only its own app, although both trees contain the same names."""
    program, names = tracee("burst"), [f"f{i}" for i in range(500)]
    running = {}
    for side in ("left", "right"):
        work = make_tree(str(tmp_path / side), dict.fromkeys(names, ""))
        argv = command("-q", "run", "-o", f"{work}.trace", "--", program, work, "500", "20")
        running[work] = subprocess.Popen(argv, env=environment())
    for work, process in running.items():
        assert process.wait(SECONDS) == 0
        touched = {entry["path"] for entry in show(f"{work}.trace")["files"]}
        below = {path for path in touched if path.startswith(f"{tmp_path}/")}
        assert below == {work, *(f"{work}/{name}" for name in names)}


def test_a_trace_that_another_slimtrace_is_writing_is_refused(tmp_path: Path) -> None:
    output = str(tmp_path / "app.trace")
    first = subprocess.Popen(
        command("-q", "run", "-o", output, "--", "cat"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    )
    assert first.stdin is not None
    assert first.stdout is not None
    first.stdin.write(b"running\n")
    first.stdin.flush()
    assert first.stdout.readline() == b"running\n"
    second = subprocess.run(
        command("run", "--append", "-o", output, "--", "true"),
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
    )
    first.communicate(timeout=SECONDS)
    assert second.returncode == 125
    assert f"cannot write {output}: another slimtrace is writing it" in second.stderr
    assert len(show(output)["runs"]) == 1


def test_slimtrace_under_slimtrace(traced: Trace, tmp_path: Path, engine: str) -> None:
    """The inner one uses another engine than the outer one, or fails with a message."""
    inner = str(tmp_path / "inner.trace")
    run = traced([*command("run", "-o", inner), "--", "cat", "file"], tree={"file": ""})
    if engine == "ptrace":
        assert run.status == 125
        assert "slimtrace: cannot trace: this process is being traced already" in run.stderr
        return
    assert run.status == 0, run.stderr
    (about,) = show(inner)["runs"]
    assert about["engine"] == {"notify": "ptrace-syscall", "ptrace-syscall": "notify"}[engine]
    assert f"{run.directory}/file" in {entry["path"] for entry in show(inner)["files"]}
    assert f"{run.directory}/file" in run.paths("file")
