"""Signals sent to slimtrace and keys typed at its terminal belong to the app."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING, Self

import pytest
from parts import need
from traces import SECONDS, command, environment, show

if TYPE_CHECKING:
    from pathlib import Path

PATIENCE = 30.0

# Says "ready", then "caught" for each of the signals that it is told to survive.
OBSTINATE = """
trap 'echo caught' TERM INT HUP
echo ready
while :; do read -r line || true; done
"""
ON_A_TERMINAL = "for i in 0 1 2; do [ -t $i ] && echo tty$i; done; echo ready; exec sleep 1000"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_a_signal_is_passed_on_and_the_trace_finished(
    tmp_path: Path, number: signal.Signals
) -> None:
    with _Running(tmp_path, "sh", "-c", "echo ready; exec sleep 1000") as run:
        run.expect("ready")
        run.process.send_signal(number)
        assert run.process.wait(SECONDS) == 128 + number
    about = show(run.trace)["runs"][0]
    assert (about["signal"], about["exit_status"]) == (number, 128 + number)
    assert about["complete"] is True


def test_an_app_that_handles_the_signal_ends_as_it_likes(tmp_path: Path) -> None:
    script = "trap 'echo bye; exit 5' TERM; echo ready; while :; do sleep 0.01; done"
    with _Running(tmp_path, "sh", "-c", script) as run:
        run.expect("ready")
        run.process.terminate()
        run.expect("bye")
        assert run.process.wait(SECONDS) == 5
    assert show(run.trace)["runs"][0]["exit_status"] == 5


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_hard(tmp_path: Path, number: signal.Signals) -> None:
    with _Running(tmp_path, "sh", "-c", OBSTINATE) as run:
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
    """As timeout(1) sends it; slimtrace would wait for an app that never heard of it."""
    need("setsid")
    waits = "echo ready; exec sleep 1000"
    with _Running(tmp_path, "sh", "-c", script.format(waits)) as run:
        run.expect("ready")
        os.killpg(run.process.pid, signal.SIGTERM)
        run.process.wait(SECONDS)


def test_the_app_sees_the_terminal_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    trace = str(tmp_path / "app.trace")
    words = command("run", "-o", trace, "--", "sh", "-c", ON_A_TERMINAL)
    pid, terminal = _at_a_terminal(words)
    try:
        said = _read_until(terminal, b"ready")
        assert said.split() == [b"tty0", b"tty1", b"tty2", b"ready"]
        os.write(terminal, b"\x03")
        said = _read_to_the_end(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGINT
    finally:
        os.close(terminal)
    assert b"Traceback" not in said
    about = show(trace)["runs"][0]
    assert (about["signal"], about["complete"]) == (signal.SIGINT, True)


def test_an_app_at_a_terminal_may_live_on_after_ctrl_c(tmp_path: Path) -> None:
    """An interactive program takes Ctrl-C as it likes; once typed it is delivered once."""
    trace = str(tmp_path / "app.trace")
    script = "trap 'echo caught' INT; echo ready; read a; read b; echo got $b; exit 6"
    words = command("-q", "run", "-o", trace, "--", "bash", "-c", script)
    pid, terminal = _at_a_terminal(words)
    try:
        _read_until(terminal, b"ready")
        os.write(terminal, b"\x03")
        _read_until(terminal, b"caught")
        os.write(terminal, b"one\ntwo\n")
        said = _read_to_the_end(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 6
    finally:
        os.close(terminal)
    assert said.count(b"caught") == 0
    assert b"got two" in said


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
    """Ctrl-Z stops the job, the shell says so, and fg lets it go on."""
    need("bash")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PS1", "PROMPT ")
    pid, terminal = _at_a_terminal([shutil.which(outer[0]) or outer[0], *outer[1:]])
    try:
        _read_until(terminal, b"PROMPT ")
        os.write(terminal, shlex.join(inner).encode() + b"\none\n")
        _read_until(terminal, b"one\r\none\r\n")  # as typed, and as cat says it
        os.write(terminal, b"\x1a")
        _read_until(terminal, b"PROMPT ")
        os.write(terminal, b"jobs\n")
        assert b"Stopped" in _read_until(terminal, b"PROMPT ", again=b"\n")
        os.write(terminal, b"fg\n")
        _read_until(terminal, b"cat\r\n")  # the shell says which
        os.write(terminal, b"two\n")
        _read_until(terminal, b"two\r\ntwo\r\n")
        os.write(terminal, b"\x04")
        _read_until(terminal, b"PROMPT ")
        os.write(terminal, b"exit 6\n")
        _read_to_the_end(terminal)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 6
    finally:
        os.close(terminal)
    assert show(str(tmp_path / "slimtrace.trace"))["runs"][0]["complete"] is True


def _at_a_terminal(words: list[str]) -> tuple[int, int]:
    """A program at a terminal of its own: its process id and the terminal's other end."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execve(words[0], words, environment())  # noqa: S606 -- pty.fork has no other way
        finally:
            os._exit(127)
    return pid, terminal


class _Running:
    """slimtrace at work, its app's output read line by line."""

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


def _read_until(terminal: int, word: bytes, again: bytes = b"") -> bytes:
    """What is said up to a word.

    :param again: typed after a while, as a person would where a busy shell took no notice.
    """
    said = b""
    while word not in said:
        ready, _, _ = select.select([terminal], [], [], PATIENCE / 3)
        if not ready and again:
            os.write(terminal, again)
        ready, _, _ = select.select([terminal], [], [], PATIENCE)
        assert ready, f"{word!r} was never said: {said!r}"
        said += os.read(terminal, 4096)
    return said


def _read_to_the_end(terminal: int) -> bytes:
    said = b""
    while True:
        ready, _, _ = select.select([terminal], [], [], PATIENCE)
        assert ready, said
        try:
            part = os.read(terminal, 4096)
        except OSError:  # EIO: nobody has the other end open any more
            return said
        if not part:
            return said
        said += part
