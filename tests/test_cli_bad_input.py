"""What goes wrong is told in one line, with the status that the contract gives it."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from parts import missing, need, need_root
from traces import command, environment, grow, open_the_way, show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Trace, Tracee

    Slimtrace = Callable[..., subprocess.CompletedProcess[str]]

HEADER = b'{"slimtrace":1,"version":"0"}\n'
USE = b'{"use":"read","t":0,"p":1,"path":"/x","was":"file"}\n'
RUN = (
    b'{"run":{"command":["x"],"cwd":"/","user":"0:0","env":{},"image":"rootfs:/",'
    b'"image_digest":null,"started":"","machine":"x86_64","engine":"notify","first_process":1}}\n'
)
PROCESS = b'{"process":1,"parent":null,"exe":"/x","argv":["x"]}\n'
TRACE = HEADER + RUN + PROCESS + USE


def _fails(done: subprocess.CompletedProcess[str], status: int, *lines: str) -> None:
    """The command failed with this status and said this, line by line, and nothing else."""
    assert done.returncode == status, done.stderr
    assert done.stdout == ""
    said = done.stderr.splitlines()
    assert len(said) == len(lines), done.stderr
    for line, expected in zip(said, lines, strict=True):
        assert line.startswith("slimtrace: ")
        assert expected in line


@pytest.mark.parametrize(
    ("summary", "content", "cause"),
    [
        ("empty", b"", "it is empty"),
        ("text", b"hello\n", "it is not a slimtrace trace"),
        ("binary", bytes(range(256)), "it is not a slimtrace trace"),
        ("another JSON", b'{"a": 1}\n', "it is not a slimtrace trace"),
        ("a JSON list", b"[1]\n", "it is not a slimtrace trace"),
        ("a JSON number", b"7\n", "it is not a slimtrace trace"),
        ("a half header", HEADER[:9], "it is not a slimtrace trace"),
        ("a future version", b'{"slimtrace":2}\n', "its schema is 2, this slimtrace knows 1"),
        ("no version", b'{"slimtrace":null}\n', "its schema is None"),
        ("a broken line", TRACE + b"{nonsense\n" + USE, "line 5 is not JSON"),
        ("a line that is no object", TRACE + b"[]\n", "line 5 is no trace line"),
        ("a use without a path", TRACE + USE.replace(b"path", b"p"), "line 5 is damaged"),
        ("an unknown use", TRACE + USE.replace(b"read", b"smell"), "line 5 is damaged"),
        ("an unknown state", TRACE + USE.replace(b'"file"', b'"gone"'), "line 5 is damaged"),
        ("a number for a path", TRACE + USE.replace(b'"/x"', b"7"), "line 5 is damaged"),
        ("a bad base64", TRACE + USE.replace(b'"path"', b'"path_b64"'), "line 5 is damaged"),
        ("a process of no run", HEADER + PROCESS + b'{"exit":2,"status":0}\n', "is damaged"),
        ("a gap before any run", HEADER + b'{"gap":"x","detail":""}\n', "line 2 is damaged"),
        ("an end before any run", HEADER + b'{"end":{}}\n', "line 2 is damaged"),
        ("a run without a command", HEADER + b'{"run":{}}\n', "line 2 is damaged"),
        ("a use by nobody", TRACE + USE.replace(b'"p":1', b'"p":"x"'), "line 5 is damaged"),
    ],
)
def test_a_damaged_trace_is_refused(
    slimtrace: Slimtrace, tmp_path: Path, summary: str, content: bytes, cause: str
) -> None:
    trace = tmp_path / "x.trace"
    trace.write_bytes(content)
    for words in (("show", str(trace)), ("show", str(trace), "--json")):
        done = slimtrace(*words)
        assert done.returncode == 125, summary
        assert done.stdout == ""
        assert done.stderr.startswith(f"slimtrace: cannot read {trace}: ")
        assert cause in done.stderr.splitlines()[0]
        assert "Traceback" not in done.stderr


def test_a_trace_that_is_not_there(slimtrace: Slimtrace, tmp_path: Path) -> None:
    trace = f"{tmp_path}/nope.trace"
    cause = f"cannot read {trace}: No such file or directory"
    _fails(slimtrace("show", trace), 125, cause, "slimtrace run -- COMMAND")
    _fails(slimtrace("show", str(tmp_path)), 125, f"cannot read {tmp_path}: Is a directory")


@pytest.mark.parametrize("cut", range(1, len(USE)))
def test_a_cut_last_line_is_left_out(tmp_path: Path, cut: int) -> None:
    trace = tmp_path / "x.trace"
    trace.write_bytes(TRACE + USE.replace(b"/x", b"/y")[:-cut])
    document = show(str(trace))
    assert [entry["path"] for entry in document["files"]] == ["/x"]
    assert document["runs"][0]["complete"] is False
    assert [gap["kind"] for gap in document["runs"][0]["gaps"]] == ["interrupted"]


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
    work = grow(
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
    _fails(done, status, f"cannot run {name}")
    assert cause in done.stderr


def test_an_existing_trace_is_not_replaced(slimtrace: Slimtrace, tmp_path: Path) -> None:
    trace = tmp_path / "x.trace"
    trace.write_text("precious")
    done = slimtrace("run", "-o", str(trace), "--", "sh", "-c", "echo ran")
    _fails(done, 125, f"cannot write {trace}: it exists", "add --append")
    assert trace.read_text() == "precious"


def test_append_to_what_is_no_trace(slimtrace: Slimtrace, tmp_path: Path) -> None:
    trace = tmp_path / "x.trace"
    trace.write_text("precious")
    done = slimtrace("run", "--append", "-o", str(trace), "--", "sh", "-c", "echo ran")
    _fails(done, 125, f"cannot read {trace}: it is not a slimtrace trace")
    assert trace.read_text() == "precious"


def test_append_and_force_together(slimtrace: Slimtrace, tmp_path: Path) -> None:
    trace = tmp_path / "x.trace"
    trace.write_bytes(TRACE)
    done = slimtrace("run", "--append", "--force", "-o", str(trace), "--", "true")
    assert done.returncode == 2
    assert trace.read_bytes() == TRACE


@pytest.mark.parametrize("output", ["sub", "no/such/directory/x", "plain/x", "sub/"])
def test_an_output_that_cannot_be_written(
    slimtrace: Slimtrace, tmp_path: Path, output: str
) -> None:
    work = grow(str(tmp_path), {"sub/": "", "plain": ""})
    done = slimtrace("run", "--force", "-o", output, "--", "sh", "-c", "echo ran", cwd=work)
    _fails(done, 125, "cannot write ")


def test_an_output_that_may_not_be_written(
    slimtrace: Slimtrace, unprivileged: tuple[str, ...]
) -> None:
    done = slimtrace("run", "-o", "/proc/x.trace", "--", "true", prefix=unprivileged)
    _fails(done, 125, "cannot write /proc/x.trace: ")


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


def test_a_full_disk_when_a_file_is_put_aside_is_a_gap(
    slimtrace: Slimtrace, tmp_path: Path, small_disk: str
) -> None:
    work = grow(str(tmp_path / "work"), {"file": "x" * 300_000})
    trace = f"{small_disk}/x.trace"
    done = slimtrace("run", "-o", trace, "--", "sh", "-c", "cat file; >file", cwd=work)
    assert len(done.stdout) == 300_000
    assert done.returncode == 0, done.stderr
    assert {gap["kind"] for gap in show(trace)["runs"][0]["gaps"]} == {"not-put-aside"}
    assert "the trace may be incomplete: not-put-aside" in done.stderr
    assert os.listdir(f"{trace}.d") == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[str]:
    """A file system with room for 64 KiB."""
    need_root()
    need("mount", "umount")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    if subprocess.run(made, check=False, capture_output=True).returncode != 0:
        missing("the right to mount")
    try:
        yield str(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("ptrace", "cannot trace: ptrace is refused"),
        ("seccomp", "cannot trace: seccomp is refused"),
    ],
)
def test_what_a_runtime_may_forbid(
    slimtrace: Slimtrace, tracee: Tracee, tmp_path: Path, call: str, said: tuple[str, str]
) -> None:
    """One line says what is refused and one says what to allow."""
    trace = tmp_path / "x.trace"
    words = ("run", "-o", str(trace), "--", "sh", "-c", "echo ran")
    _fails(slimtrace(*words, prefix=(tracee("deny"), call)), 125, *said)


def test_as_an_ordinary_user(traced: Trace, unprivileged: tuple[str, ...], tmp_path: Path) -> None:
    """No root, no privilege: it works in a container and in CI."""
    open_the_way(tmp_path)
    run = traced(["cat", "file", "nope"], tree={"file": "content"}, prefix=unprivileged)
    assert (run.status, run.stdout) == (1, "content")
    assert run.touches() == {"file": "file read", "nope": "missing read"}
    assert run.run["complete"] is True


def test_a_reader_that_leaves_early(traced: Trace) -> None:
    """``show | head``: no traceback, no complaint."""
    run = traced(["ls", "-R", "/usr/share/doc"])
    shown = subprocess.Popen(
        command("show", "--json", run.trace),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )
    assert shown.stdout is not None
    shown.stdout.read(1)
    shown.stdout.close()
    assert shown.stderr is not None
    assert shown.stderr.read() == b""
    shown.stderr.close()
    shown.wait()
