"""``run --syscalls all``: every call is recorded and counted, as by strace -c."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from requirements import need
from traces import SECONDS, check_failure, environment, make_tree, run_slimtrace

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from conftest import Trace

ENDS = {"exit", "exit_group"}  # strace -c counts calls when they return

PROGRAMS = {
    "cat": ["cat", "file"],
    "a shell with children": ["sh", "-c", "cat file | wc -c; ls >/dev/null; exec true"],
    "python": [os.path.realpath(sys.executable), "-IBSc", "import json; print(json.dumps(1))"],
}


@pytest.mark.parametrize("argv", PROGRAMS.values(), ids=PROGRAMS)
def test_the_counts_agree_with_strace(traced: Trace, tmp_path: Path, argv: Sequence[str]) -> None:
    need("strace")
    work = make_tree(str(tmp_path / "work"), {"file": "content"})
    theirs = _strace(argv, work, str(tmp_path / "counts"))
    run = traced(argv, "--syscalls", "all")
    assert run.status == 0, run.stderr
    document = run.document["syscalls"]
    ours = {name: number for name, number in document["counts"].items() if name not in ENDS}
    # A signal may interrupt a wait for a child, which is then repeated.
    for name in ("wait4", "rt_sigreturn"):
        ours.pop(name, None), theirs.pop(name, None)
    assert ours == theirs
    assert document["observed"] == sorted(document["counts"])
    assert document["assumed"] == []
    assert run.run["engine"] == "ptrace-syscall"


def test_the_counts_of_two_runs_are_added(traced: Trace) -> None:
    once = traced(["true"], "--syscalls", "all").document["syscalls"]["counts"]
    twice = traced(["true"], "--syscalls", "all", "--append").document["syscalls"]["counts"]
    assert twice == {name: 2 * number for name, number in once.items()}
    with_another = traced(["true"], "--append").document["syscalls"]
    assert "counts" not in with_another, "the last run was not counted"
    assert "read" in with_another["assumed"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--syscalls", "some"), "cannot use --syscalls some: choose path or all"),
        (("--engine", "fast"), "cannot use --engine fast: choose auto or notify or ptrace"),
        (("--syscalls", "all", "--engine", "notify"), "cannot use --syscalls all with --engine"),
    ],
)
def test_invalid_options(tmp_path: Path, options: Sequence[str], said: str) -> None:
    trace = tmp_path / "x.trace"
    check_failure(run_slimtrace("run", "-o", str(trace), *options, "--", "true"), 2, said)
    assert not trace.exists()


def _strace(argv: Sequence[str], cwd: str, output: str) -> dict[str, int]:
    """Return ``{name: number of calls}`` of a program and its children, by strace."""
    command_line = ["strace", "-c", "-f", "-U", "name,calls", "-o", output, *argv]
    subprocess.run(
        command_line, check=True, cwd=cwd, env=environment(), capture_output=True, timeout=SECONDS
    )
    with open(output) as file:
        rows = [line.split() for line in file]
    counted = (row for row in rows if len(row) == 2 and row[1].isdigit() and row[0] != "total")
    return {name: int(number) for name, number in counted}
