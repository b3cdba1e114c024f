"""Signals to slimtrace, and keys typed at its terminal, are passed on to the app."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Self

import pytest
from requirements import need
from terminals import read_to_end, read_until, start_at_terminal
from traces import SECONDS, command, environment, show

if TYPE_CHECKING:
    from pathlib import Path

# Prints "ready", then "caught" for each of the signals that it handles.
HANDLES_SIGNALS = """
trap 'echo caught' TERM INT HUP
echo ready
while :; do read -r line || true; done
"""
AT_A_TERMINAL = "for i in 0 1 2; do [ -t $i ] && echo tty$i; done; echo ready; exec sleep 1000"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_is_passed_on_and_the_trace_is_complete(
    tmp_path: Path, number: signal.Signals
) -> None:
    with _Running(tmp_path, "sh", "-c", "echo ready; exec sleep 1000") as run:
        run.expect("ready")
        run.process.send_signal(number)
        assert run.process.wait(SECONDS) == 128 + number
    about = show(run.trace)["runs"][0]
    assert (about["signal"], about["exit_status"]) == (number, 128 + number)
    assert about["complete"] is True


def test_an_app_that_handles_the_signal_chooses_its_exit_status(tmp_path: Path) -> None:
    script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    with _Running(tmp_path, "sh", "-c", script) as run:
        run.expect("ready")
        run.process.terminate()
        run.expect("bye")
        assert run.process.wait(SECONDS) == 5
    assert show(run.trace)["runs"][0]["exit_status"] == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_kills_the_app(tmp_path: Path, number: signal.Signals) -> None:
    with _Running(tmp_path, "sh", "-c", HANDLES_SIGNALS) as run:
        run.expect("ready")
        run.process.send_signal(number)
        run.expect("caught")
        run.process.send_signal(number)
        assert run.process.wait(SECONDS) == 128 + signal.SIGKILL
    about = show(run.trace)["runs"][0]
    assert about["signal"] == signal.SIGKILL
    assert about["seconds"] is not None


@pytest.mark.parametrize(
    "script",
    ["exec setsid -w sh -c '{}'", "setsid sh -c '{}' & exit 0"],
    ids=["the app", "its daemon"],
)
def test_a_signal_to_the_group_reaches_an_app_that_left_it(tmp_path: Path, script: str) -> None:
    """timeout(1) signals the group. Otherwise slimtrace would wait for an app that never ends."""
    need("setsid")
    waits = "echo ready; exec sleep 1000"
    with _Running(tmp_path, "sh", "-c", script.format(waits)) as run:
        run.expect("ready")
        os.killpg(run.process.pid, signal.SIGTERM)
        run.process.wait(SECONDS)


def test_the_app_sees_the_terminal_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    trace = str(tmp_path / "app.trace")
    argv = command("run", "-o", trace, "--", "sh", "-c", AT_A_TERMINAL)
    pid, terminal = start_at_terminal(argv)
    try:
        output = read_until(terminal, b"ready")
        assert output.split() == [b"tty0", b"tty1", b"tty2", b"ready"]
        os.write(terminal, b"\x03")
        output = read_to_end(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGINT
    finally:
        os.close(terminal)
    assert b"Traceback" not in output
    about = show(trace)["runs"][0]
    assert (about["signal"], about["complete"]) == (signal.SIGINT, True)


def test_an_app_at_a_terminal_may_continue_after_ctrl_c(tmp_path: Path) -> None:
    """An interactive program may handle Ctrl-C; each one typed is delivered once."""
    trace = str(tmp_path / "app.trace")
    script = "trap 'echo caught' INT; echo ready; read a; read b; echo got $b; exit 6"
    argv = command("-q", "run", "-o", trace, "--", "bash", "-c", script)
    pid, terminal = start_at_terminal(argv)
    try:
        read_until(terminal, b"ready")
        os.write(terminal, b"\x03")
        read_until(terminal, b"caught")
        os.write(terminal, b"one\ntwo\n")
        output = read_to_end(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 6
    finally:
        os.close(terminal)
    assert output.count(b"caught") == 0
    assert b"got two" in output


@pytest.mark.parametrize(
    ("outer", "inner"),
    [
        (["bash", "--norc", "--noediting", "-i"], command("-q", "run", "--", "cat")),
        (command("-q", "run", "--", "bash", "--norc", "--noediting", "-i"), ["cat"]),
    ],
    ids=["slimtrace is the job", "a job of the traced shell"],
)
def test_job_control_works_as_untraced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, outer: list[str], inner: list[str]
) -> None:
    """Ctrl-Z stops the job, the shell reports that, and fg continues it."""
    need("bash")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PS1", "PROMPT ")
    pid, terminal = start_at_terminal([shutil.which(outer[0]) or outer[0], *outer[1:]])
    try:
        read_until(terminal, b"PROMPT ")
        os.write(terminal, shlex.join(inner).encode() + b"\none\n")
        read_until(terminal, b"one\r\none\r\n")  # the input, and the output of cat
        os.write(terminal, b"\x1a")
        read_until(terminal, b"PROMPT ")
        os.write(terminal, b"jobs\n")
        assert b"Stopped" in read_until(terminal, b"PROMPT ", again=b"\n")
        os.write(terminal, b"fg\n")
        read_until(terminal, b"cat\r\n")  # the shell prints the command
        os.write(terminal, b"two\n")
        read_until(terminal, b"two\r\ntwo\r\n")
        os.write(terminal, b"\x04")
        read_until(terminal, b"PROMPT ")
        os.write(terminal, b"exit 6\n")
        read_to_end(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 6
    finally:
        os.close(terminal)
    assert show(str(tmp_path / "slimtrace.trace"))["runs"][0]["complete"] is True


class _Running:
    """slimtrace with a running app, whose output is read line by line."""

    def __init__(self, tmp_path: Path, *argv: str) -> None:
        self.trace = str(tmp_path / "app.trace")
        self.process = subprocess.Popen(
            command("-q", "run", "-o", self.trace, "--", *argv),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            process_group=0,
        )

    def __enter__(self) -> Self:
        return self

    def expect(self, line: str) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == f"{line}\n"

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=SECONDS)
