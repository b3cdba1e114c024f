"""Runs that failed: how they are marked, and how one is taken out of a trace."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from traces import check_failure, run_slimtrace, show

from slimtrace.tracer.trace.merge import merge_traces
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.trace import DriveResult, Run, State

RUN = Run(("app",), "/", "0:0", {}, "rootfs:/", None, "", "x86_64", "notify", exit_status=0)
STOPPED, FAILED = DriveResult(stopped=True), DriveResult(failure="cannot drive the app: why")


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({}, None),
        ({"exit_status": None}, None),
        ({"exit_status": 3}, "exit status 3"),
        ({"exit_status": 139, "signal": 11}, "signal 11"),
        ({"exit_status": 3, "drive_result": DriveResult()}, "exit status 3"),
        ({"exit_status": 3, "drive_result": STOPPED}, None),
        ({"exit_status": 3, "drive_result": DriveResult(stopped=None)}, None),  # an older trace
        ({"exit_status": 137, "signal": 9, "drive_result": STOPPED}, None),
        ({"drive_result": FAILED}, "cannot drive the app: why"),
        ({"exit_status": 130, "signal": 2}, None),
        ({"exit_status": 143, "signal": 15}, None),
        ({"exit_status": 131, "signal": 3, "interrupted": "SIGQUIT"}, None),
        ({"exit_status": 131, "signal": 3}, "signal 3"),
    ],
)
def test_when_a_run_failed(changes: dict[str, Any], failure: str | None) -> None:
    assert replace(RUN, **changes).failure == failure


def test_show_marks_it(tmp_path: Path) -> None:
    trace = str(tmp_path / "x")
    for script in ("exit 0", "exit 3"):
        run_slimtrace("run", "--append", "-o", trace, "--", "sh", "-c", script)
    driven = run_slimtrace("run", "--append", "-o", trace, "--exec", "exit 9", "--", "sleep", "99")
    assert "the run is marked as failed: build needs --allow-failed" in driven.stderr
    failures = [run.get("failed") for run in show(trace)["runs"]]
    message = "cannot drive the app: 'exit 9' failed: exit status 9"
    assert failures == [None, "exit status 3", message]
    assert run_slimtrace("show", trace).stdout.count("  failed: ") == 2


STAT = [33188, 0, 0, 3, 4]
END = {"end": {"seconds": 1.0, "exit_status": 0, "signal": None, "complete": True}}


def start(name: str, image: str = "rootfs:/") -> list[dict[str, Any]]:
    about = {"command": [name], "cwd": "/", "user": "0:0", "env": {}, "image": image}
    rest = {"image_digest": None, "started": "", "machine": "", "engine": ""}
    return [{"run": {**about, **rest}}]


def process(number: int) -> dict[str, Any]:
    return {"process": number, "parent": None, "exe": "/a", "argv": [f"{number}"]}


def touch(number: int, path: str, was: str = "file") -> dict[str, Any]:
    line = {"use": "read", "t": 0.5, "p": number, "path": path, "was": was}
    return {**line, "stat": STAT} if was == "file" else line


def write(path: Path, *lines: dict[str, Any]) -> str:
    header = {"slimtrace": 1, "version": "0"}
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in (header, *lines)))
    return str(path)


def two_traces(folder: Path) -> list[str]:
    """Return two traces: with the runs a and b, and with c."""
    first = write(
        folder / "1",
        *(*start("a"), process(1), touch(1, "/one"), {"listen": "tcp", "port": 1}, END),
        {"healed": "/healed"},
        *(*start("b"), process(2), touch(2, "/two"), touch(2, "/made", "created")),
        *({"save": "/one", "blob": "copy", "stat": STAT}, {"exit": 2, "status": 1}),
        *({"listen": "tcp", "port": 2}, {"gap": "setuid", "detail": "x"}, END),
        {"jvm": "/jdk", "modules": ["b"], "of": 1},
        {"jvm": "/jdk", "modules": ["a"], "of": 0},
    )
    (folder / "1.d").mkdir()
    (folder / "1.d/copy").write_text("before")
    second = write(
        folder / "2",
        *(*start("c"), process(1), touch(1, "/three"), touch(1, "/made"), END),
        {"jvm": "/jdk", "modules": ["c"], "of": 0},
    )
    return [first, second]


def test_a_run_is_taken_out(tmp_path: Path) -> None:
    merge_traces(two_traces(tmp_path), f"{tmp_path}/all", drop_runs=[2])
    trace = read_trace(f"{tmp_path}/all")
    assert [run.command for run in trace.runs] == [("a",), ("c",)]
    assert [run.modules for run in trace.runs] == [{"/jdk": ("a",)}, {"/jdk": ("c",)}]
    assert [(image.argv, image.run) for image in trace.processes] == [(("1",), 0), (("1",), 1)]
    assert {path.path: path.state for path in trace.paths.values()} == {
        "/one": State.FILE,
        "/three": State.FILE,
        "/made": State.CREATED,  # the dropped run made it: it is no file of the image
    }
    assert [port.port for port in trace.listening] == [1]
    assert trace.healed == ("/healed",)
    assert Path(trace.saved["/one"].blob).read_text() == "before"
    assert not any(run.gaps for run in trace.runs)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_the_others_stay_as_they_were(tmp_path: Path, number: int) -> None:
    traces = two_traces(tmp_path)
    before = read_trace(traces)
    merge_traces(traces, f"{tmp_path}/all", drop_runs=[number])
    after = read_trace(f"{tmp_path}/all")
    assert [*after.runs] == [run for i, run in enumerate(before.runs, start=1) if i != number]


def test_a_run_of_another_image_is_taken_out(tmp_path: Path) -> None:
    one = write(tmp_path / "1", *start("a"), END, *start("b", "oci:/other"), END)
    done = run_slimtrace("merge", one, "-o", one, "--force", "--drop-run", "2")
    assert (done.returncode, done.stderr) == (0, f"slimtrace: wrote {one}: 1 run\n")
    assert [run.command for run in read_trace(one).runs] == [("a",)]


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        (("3",), "cannot drop run 3: there is no such run, but 2 runs"),
        (("0",), "cannot use --drop-run 0: it is not a number from 1"),
        (("1", "2"), "cannot drop all runs"),
    ],
)
def test_a_run_that_cannot_be_taken_out(
    tmp_path: Path, dropped: tuple[str, ...], message: str
) -> None:
    one = write(tmp_path / "1", *start("a"), END, *start("b"), END)
    before = Path(one).read_bytes()
    options = [word for number in dropped for word in ("--drop-run", number)]
    done = run_slimtrace("merge", one, "-o", one, "--force", *options)
    lines = (message, "numbered from 1") if "no such run" in message else (message,)
    check_failure(done, 2, *lines)
    assert Path(one).read_bytes() == before
