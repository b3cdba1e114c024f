"""The answers of an app in full: what is asked, what commands print, and what they survive."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from traces import environment

from slimtrace.tracer.drive.answer_log import AnswerLog, Content
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.trace.answers import MAX_BODY_BYTES, Answer, read_answers

if TYPE_CHECKING:
    from pathlib import Path

RERUN = """
import sys
from slimtrace.tracer.rerun import rerun_here
from slimtrace.tracer.rerun_options import RerunOptions
from slimtrace.tracer.trace.trace import DriveOptions, Run

run = Run(
    command=("sh", "-c", sys.argv[2]), cwd="/", user="0:0", env={}, image="rootfs:/",
    image_digest=None, started="2024-01-01T00:00:00Z", machine="", engine="",
    drive_options=DriveOptions(commands=tuple(sys.argv[3:])),
)
rerun_here(run, f"{sys.argv[1]}/trace", RerunOptions(answers=f"{sys.argv[1]}/answers"))
"""


def rerun(folder: Path, *argv: str) -> tuple[Answer, ...]:
    """The answers of a repeated run: the app, as a shell command, and commands that drive it."""
    command = (sys.executable, "-c", RERUN, str(folder), *argv)
    env = environment()
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return read_answers(f"{folder}/answers")


def test_an_action_that_fails_does_not_end_the_run(tmp_path: Path) -> None:
    commands = ("echo one; echo two >&2", "echo three; exit 3", "echo four >/dev/stdout")
    found = rerun(tmp_path, "exec sleep 60", *commands)
    assert [(each.driver, each.status, each.body) for each in found] == [
        (commands[0], 0, b"one\ntwo\n"),
        (commands[1], 3, b"three\n"),
        (commands[2], 0, b"four\n"),
    ]
    times = [moment for each in found for moment in (each.began, each.ended)]
    assert times == sorted(times)


def test_the_answer_of_a_job_is_what_it_prints(tmp_path: Path) -> None:
    (found,) = rerun(tmp_path, "echo told; echo >&2 asked; exit 4")
    assert (found.driver, found.status, found.body) == ("", 4, b"told\nasked\n")


def test_more_than_a_pipe_takes(tmp_path: Path) -> None:
    log = AnswerLog(str(tmp_path / "answers"))
    log.start(lambda: 1.5)
    sent = b"x" * (1 << 20)
    for _ in range(17):
        assert os.write(log.output, sent) == len(sent)
    taken = log.take_output()
    assert (len(taken.body), taken.size) == (MAX_BODY_BYTES, 17 * len(sent))
    assert log.take_output() == Content()
    log.add("cat \udcff", None, 1.0, Content("a/b", b"\xff", 1), "it took too long")
    log.close()
    (found,) = read_answers(str(tmp_path / "answers"))
    assert found == Answer("cat \udcff", None, 1.0, 1.5, "a/b", b"\xff", 1, "it took too long")


@pytest.mark.parametrize("text", ["x", "[]", "{}", '{"driver": "", "status": 0}'])
def test_a_file_that_has_no_answers(tmp_path: Path, text: str) -> None:
    (tmp_path / "answers").write_text(text)
    with pytest.raises(SlimtraceError, match="it has no answers of slimtrace"):
        read_answers(str(tmp_path / "answers"))
