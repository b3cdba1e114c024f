"""Bad input: each failure prints one line and has the documented exit status."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from requirements import need, need_root, skip_missing
from traces import SECONDS, allow_all_users, check_failure, command, environment, make_tree, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Trace, Tracee

    Slimtrace = Callable[..., subprocess.CompletedProcess[str]]

HEADER = b'{"slimtrace":1,"version":"0"}\n'


@pytest.mark.parametrize("words", [["run"], ["run", "--"], ["run", "-o", "x"], ["nonsense"]])
def test_no_command(slimtrace: Slimtrace, tmp_path: Path, words: list[str]) -> None:
    done = slimtrace(*words, cwd=str(tmp_path))
    assert done.returncode == 2
    assert done.stderr != ""
    assert "Traceback" not in done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "status", "cause"),
    [
        ("no-such-program", 127, "it is not on the PATH"),
        ("./no-such-file", 127, "no such file"),
        ("/no/such/file", 127, "no such file"),
        ("./plain", 126, "permission denied"),
        ("./sub", 126, "it is a directory"),
        ("./dangling", 127, "no such file"),
        ("./bad-interpreter", 126, ""),
        ("./no-format", 126, "Exec format error"),
        ("", 127, ""),
    ],
)
def test_a_command_that_cannot_be_run(
    slimtrace: Slimtrace, tmp_path: Path, name: str, status: int, cause: str
) -> None:
    work = make_tree(
        str(tmp_path / "work"),
        {
            "plain": "echo not executable\n",
            "sub/": "",
            "dangling": "-> nowhere",
            "bad-interpreter": "#!/no/such/interpreter\n",
            "no-format": "#!",
        },
    )
    with open(os.path.join(work, "no-format"), "wb") as file:
        file.write(b"\x00\x01\x02\x03")
    done = slimtrace("run", "-o", "x.trace", "--", name, cwd=work)
    check_failure(done, status, f"cannot run {name}")
    assert cause in done.stderr


def test_a_file_that_is_no_trace_is_not_replaced(slimtrace: Slimtrace, tmp_path: Path) -> None:
    trace = tmp_path / "x.trace"
    trace.write_text("precious")
    done = slimtrace("run", "-o", str(trace), "--", "sh", "-c", "echo ran")
    check_failure(done, 125, f"cannot write {trace}: it exists and is no trace", "--force")
    assert trace.read_text() == "precious"


def test_append_to_a_file_that_is_not_a_trace(slimtrace: Slimtrace, tmp_path: Path) -> None:
    trace = tmp_path / "x.trace"
    trace.write_text("precious")
    done = slimtrace("run", "--append", "-o", str(trace), "--", "sh", "-c", "echo ran")
    check_failure(done, 125, f"cannot read {trace}: it is not a slimtrace trace")
    assert trace.read_text() == "precious"


def test_append_and_force_together(slimtrace: Slimtrace, tmp_path: Path) -> None:
    trace = tmp_path / "x.trace"
    trace.write_bytes(HEADER)
    done = slimtrace("run", "--append", "--force", "-o", str(trace), "--", "true")
    assert done.returncode == 2
    assert trace.read_bytes() == HEADER


@pytest.mark.parametrize("output", ["sub", "no/such/directory/x", "plain/x", "sub/"])
def test_an_output_that_cannot_be_written(
    slimtrace: Slimtrace, tmp_path: Path, output: str
) -> None:
    work = make_tree(str(tmp_path), {"sub/": "", "plain": ""})
    done = slimtrace("run", "--force", "-o", output, "--", "sh", "-c", "echo ran", cwd=work)
    check_failure(done, 125, "cannot write ")


def test_an_output_that_may_not_be_written(
    slimtrace: Slimtrace, unprivileged: tuple[str, ...]
) -> None:
    done = slimtrace("run", "-o", "/proc/x.trace", "--", "true", prefix=unprivileged)
    check_failure(done, 125, "cannot write /proc/x.trace: ")


def test_a_full_disk_does_not_disturb_the_app(
    slimtrace: Slimtrace, tmp_path: Path, small_disk: str
) -> None:
    script = "i=0; while [ $i -lt 3000 ]; do [ -e nope$i ]; i=$((i+1)); done; echo done; exit 3"
    trace = f"{small_disk}/x.trace"
    done = slimtrace("run", "-o", trace, "--", "bash", "-c", script, cwd=str(tmp_path))
    assert done.stdout == "done\n"
    assert done.returncode == 125
    assert done.stderr.startswith(f"slimtrace: cannot write {trace}: No space left on device\n")
    assert "Traceback" not in done.stderr
    document = show(trace)
    assert document["runs"][0]["complete"] is False
    assert document["missing"] != []


def test_a_full_disk_when_a_file_is_saved_is_a_gap(
    slimtrace: Slimtrace, tmp_path: Path, small_disk: str
) -> None:
    work = make_tree(str(tmp_path / "work"), {"file": "x" * 300_000})
    trace = f"{small_disk}/x.trace"
    done = slimtrace("run", "-o", trace, "--", "sh", "-c", "cat file; >file", cwd=work)
    assert len(done.stdout) == 300_000
    assert done.returncode == 0, done.stderr
    assert {gap["kind"] for gap in show(trace)["runs"][0]["gaps"]} == {"not-put-aside"}
    assert "the trace may be incomplete: not-put-aside" in done.stderr
    assert os.listdir(f"{trace}.d") == []


def test_a_limit_on_file_size_does_not_disturb_the_app(tmp_path: Path) -> None:
    trace = f"{tmp_path}/x.trace"
    script = "for i in {1..300}; do [ -e nope$i ]; done; echo done"
    command_line = shlex.join(command("run", "-o", trace, "--", "bash", "-c", script))
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 4; {command_line}"],
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout) == (125, "done\n")
    assert done.stderr.startswith(f"slimtrace: cannot write {trace}: File too large\n")
    assert show(trace)["missing"] != []


def test_a_deleted_directory(tmp_path: Path) -> None:
    """The app runs there, or one line says why it cannot; it is not an internal error."""
    (tmp_path / "gone").mkdir()
    slimtrace = shutil.which("slimtrace", path=os.path.dirname(sys.executable))
    command_line = shlex.join(
        [str(slimtrace), "run", "-o", f"{tmp_path}/x.trace", "--", "echo", "ran"]
    )
    done = subprocess.run(
        ["sh", "-c", f"rmdir ../gone; exec {command_line}"],
        check=False,
        capture_output=True,
        text=True,
        cwd=tmp_path / "gone",
        env=environment(),
        timeout=SECONDS,
    )
    assert "internal error" not in done.stderr
    assert (done.returncode, done.stdout) in ((0, "ran\n"), (125, ""))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[str]:
    """Mount a file system of 64 KiB."""
    need_root()
    need("mount", "umount")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(made, check=False, capture_output=True).returncode != 0:
        skip_missing("the right to mount")
    try:
        yield str(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("ptrace", ("cannot trace: ptrace is refused", "allow ptrace")),
        ("seccomp", ("cannot trace: seccomp is refused", "allow seccomp")),
    ],
)
def test_calls_that_a_runtime_may_forbid(
    slimtrace: Slimtrace, tracee: Tracee, tmp_path: Path, call: str, said: tuple[str, str]
) -> None:
    """One line says what is forbidden, one what to allow."""
    trace = tmp_path / "x.trace"
    engine = {"ptrace": "ptrace", "seccomp": "notify"}[call]
    arguments = ("run", "-o", str(trace), "--engine", engine, "--", "sh", "-c", "echo ran")
    check_failure(slimtrace(*arguments, prefix=(tracee("deny"), call)), 125, *said)
    assert not trace.exists()


def test_as_an_ordinary_user(traced: Trace, unprivileged: tuple[str, ...], tmp_path: Path) -> None:
    """Without root or privileges; it also works in a container and in CI."""
    allow_all_users(tmp_path)
    run = traced(["cat", "file", "nope"], tree={"file": "content"}, prefix=unprivileged)
    assert (run.status, run.stdout) == (1, "content")
    assert run.touches() == {"file": "file read", "nope": "missing read"}
    assert run.run["complete"] is True
