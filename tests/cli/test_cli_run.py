"""The command ``run``: exit status, streams, options, and the trace's path."""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

import pytest
from traces import SECONDS, environment, show

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Trace, Tracee

    Slimtrace = Callable[..., subprocess.CompletedProcess[str]]

EVERY_BYTE = bytes(range(256)) * 512


@pytest.mark.parametrize(
    ("script", "status", "number"),
    [
        ("exit 0", 0, None),
        ("exit 1", 1, None),
        ("exit 125", 125, None),
        ("exit 255", 255, None),
        ("kill -TERM $$", 143, 15),
        ("kill -KILL $$", 137, 9),
        ("kill -SEGV $$", 139, 11),
        ("(sleep 0; kill -9 $$) & wait; exit 3", 137, 9),
    ],
)
def test_the_exit_status_is_that_of_the_command(
    traced: Trace, script: str, status: int, number: int | None
) -> None:
    run = traced(["sh", "-c", script])
    assert run.status == status
    assert (run.run["exit_status"], run.run["signal"]) == (status, number)
    assert run.run["complete"] is True


def test_the_fields_of_a_run(traced: Trace) -> None:
    run = traced(["sh", "-c", "exit 4"])
    assert run.run == {
        **run.run,
        "command": ["sh", "-c", "exit 4"],
        "cwd": run.directory,
        "user": f"{os.getuid()}:{os.getgid()}",
        "image": "rootfs:/",
        "image_digest": None,
        "exit_status": 4,
        "signal": None,
        "engine": "notify",
        "complete": True,
        "gaps": [],
    }
    assert 0 < run.run["seconds"] < SECONDS
    assert run.run["started"].endswith("Z")
    assert run.document["schema"] == 1
    assert "openat" in run.document["syscalls"]["observed"]
    assert "read" in run.document["syscalls"]["assumed"]


def test_show_json_is_the_document(slimtrace: Slimtrace, traced: Trace) -> None:
    run = traced(["cat", "a", "nope"], tree={"a": "1"})
    done = slimtrace("show", run.trace, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == run.document


def test_show_prints_the_commands(slimtrace: Slimtrace, traced: Trace) -> None:
    run = traced(["sh", "-c", "cat a nope; exit 4"], tree={"a": ""})
    done = slimtrace("show", run.trace)
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("run 1: sh -c cat a nope; exit 4", "exit status 4", "cat a nope", "missing"):
        assert word in done.stdout


def test_the_default_trace_and_the_messages_of_run(slimtrace: Slimtrace, tmp_path: Path) -> None:
    done = slimtrace("run", "--", "echo", "out", cwd=str(tmp_path))
    assert (done.returncode, done.stdout) == (0, "out\n")
    message = r"slimtrace: wrote slimtrace.trace: [1-9]\d* files, complete, in \d+\.\d s\n"
    assert re.fullmatch(message, done.stderr)
    assert show(str(tmp_path / "slimtrace.trace"))["runs"][0]["command"] == ["echo", "out"]


def test_options_after_the_command_belong_to_it(traced: Trace) -> None:
    run = traced(["echo", "--force", "-o", "x", "--", "--help"])
    assert run.stdout == "--force -o x -- --help\n"


def test_append_adds_a_run_and_continues_process_ids(traced: Trace) -> None:
    first = traced(["sh", "-c", "cat a; exit 3"], tree={"a": ""})
    second = traced(["sh", "-c", "cat b; exit 4"], "--append", tree={"b": ""})
    assert [run["exit_status"] for run in second.document["runs"]] == [3, 4]
    assert [(p["id"], p["run"]) for p in second.document["processes"]] == [
        (1, 0),
        (2, 0),
        (3, 1),
        (4, 1),
    ]
    assert first.users("a") == second.users("a") == [["cat", "a"]]
    assert second.users("b") == [["cat", "b"]]
    with open(second.trace, "rb") as file:
        whole = file.read()
    assert whole.count(b'{"slimtrace":') == 1


def test_append_makes_a_new_trace(traced: Trace) -> None:
    assert len(traced(["true"], "--append").document["runs"]) == 1


def test_force_replaces_a_trace(traced: Trace) -> None:
    traced(["sh", "-c", "echo 1 >a"], tree={"a": "old"})
    run = traced(["true"], "--force")
    assert [one["command"] for one in run.document["runs"]] == [["true"]]


def test_a_missing_file_that_a_later_run_finds_is_a_file(traced: Trace) -> None:
    traced(["sh", "-c", "test -e a"])
    run = traced(["sh", "-c", "test -e a"], "--append", tree={"a": ""})
    assert run.touches()["a"].startswith("file ")


def test_an_app_that_changes_its_user_and_directory(traced: Trace, tracee: Tracee) -> None:
    run = traced(["sh", "-c", "cd sub && exec cat ../a"], tree={"sub/": "", "a": "1"})
    assert (run.status, run.stdout) == (0, "1")
    assert run.touches() == {"sub": "file chdir", "sub/../a": "file read"}


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["show", "--help"]])
def test_help_has_an_example(slimtrace: Slimtrace, words: list[str]) -> None:
    done = slimtrace(*words)
    assert (done.returncode, done.stderr) == (0, "")
    if words == ["--help"]:
        assert {"run", "show"} <= set(done.stdout.split())
    else:
        assert f"slimtrace {words[0]} " in done.stdout.split("Example")[1]


def test_version(slimtrace: Slimtrace) -> None:
    done = slimtrace("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("slimtrace ")


@pytest.mark.parametrize("setting", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_without_a_terminal(
    slimtrace: Slimtrace, tmp_path: Path, setting: dict[str, str]
) -> None:
    trace = str(tmp_path / "x.trace")
    for arguments in (
        ("run", "-o", trace, "--", "true"),
        ("show", trace),
        ("show", "nothing"),
        ("--help",),
        ("run", "--nonsense"),
    ):
        done = slimtrace(*arguments, env=environment(**setting))
        assert "\x1b" not in done.stdout + done.stderr
