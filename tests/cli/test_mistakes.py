"""Mistakes on the command line: one line says what is wrong, the next one what to do.

``mistakes.txt`` has them: three lines for each, with the arguments, the exit status and the
message, and the next step (``-`` for none). ``…`` at the end of a line stands for more, ``HERE``
for the working directory.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, NamedTuple

import pytest
from example_trace import EXAMPLE

from slimtrace import main

if TYPE_CHECKING:
    from pathlib import Path

TABLE = os.path.join(os.path.dirname(__file__), "mistakes.txt")
TREE = ("folder/", "folder2/file", "text", "text.tar")


class Mistake(NamedTuple):
    """One mistake.

    :ivar words: what follows ``slimtrace``.
    """

    words: str
    status: int
    message: str
    step: str


def read_table() -> list[Mistake]:
    with open(TABLE) as file:
        lines = file.read().splitlines()
    found = []
    for words, answer, step in zip(lines[::3], lines[1::3], lines[2::3], strict=True):
        status, _, message = answer.strip().partition(" ")
        found.append(Mistake(words, int(status), message, step.strip()))
    return found


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mistakes")
    for name in TREE:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.mkdir() if name.endswith("/") else path.write_text("text\n")
    (folder / "old.trace").write_bytes(EXAMPLE)
    return folder


def check(line: str, expected: str, here: Path) -> None:
    expected = expected.replace("HERE", str(here))
    assert line.startswith("slimtrace: ")
    said = line.removeprefix("slimtrace: ")
    assert said == expected or (expected.endswith("…") and said.startswith(expected[:-1]))


@pytest.mark.parametrize("mistake", read_table(), ids=lambda mistake: mistake.words)
def test_a_mistake(
    mistake: Mistake,
    work: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(os.listdir(work))
    monkeypatch.chdir(work)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setattr(sys, "argv", ["slimtrace", *shlex.split(mistake.words)])
    main.app.registered_commands.clear()  # else each call makes all commands of the last ones
    with pytest.raises(SystemExit) as ended:
        main.main()
    stdout, stderr = capsys.readouterr()
    message, *more = stderr.splitlines()
    check(message, mistake.message, work)
    if mistake.step != "-":
        check(more[0], mistake.step, work)
    assert (ended.value.code, stdout) == (mistake.status, "")
    assert sorted(os.listdir(work)) == before


def test_every_command_is_in_the_table() -> None:
    table = read_table()
    for command in main.COMMANDS:
        count = sum(mistake.words.split()[0] == command for mistake in table)
        assert count >= (2 if command == "cache" else 5), command
    assert len(table) >= 200
    assert all(mistake.step != "-" or "choose " in mistake.message for mistake in table)
