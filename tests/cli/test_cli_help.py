"""Help texts: every command has a description and examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slimtrace.main import COMMANDS
from slimtrace.tracer.version import VERSION

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Command = Callable[..., subprocess.CompletedProcess[str]]


def test_the_help_describes_every_command_with_a_full_sentence(slimtrace: Command) -> None:
    done = slimtrace("--help")
    assert done.returncode == 0
    assert "records every file it uses, and builds a container" in done.stdout
    lines = done.stdout.partition("\nCommands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == [*COMMANDS]
    assert all(line.endswith(".") and not line.endswith("...") for line in lines), lines


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_and_describes_every_option(
    slimtrace: Command, command: str
) -> None:
    done = slimtrace(command, "--help")
    assert done.returncode == 0
    assert f"Examples:\n\n    slimtrace {command}" in done.stdout
    table = done.stdout.partition("\nOptions:\n")[2].splitlines()
    starts = [number for number, line in enumerate(table) if line.startswith("  -")]
    for start, end in zip(starts, [*starts[1:], len(table)], strict=True):
        assert "." in " ".join(table[start:end]), table[start:end]


@pytest.mark.parametrize("word", ["--version", "version"])
def test_the_version(slimtrace: Command, word: str) -> None:
    assert slimtrace(word).stdout == f"slimtrace {VERSION}\n"


def test_help_is_a_command(slimtrace: Command) -> None:
    assert slimtrace("help").stdout == slimtrace("--help").stdout
    assert slimtrace("help", "merge").stdout == slimtrace("merge", "--help").stdout
