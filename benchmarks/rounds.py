"""Runs commands: those that prepare something, and those that are measured, round by round."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from figures import Figures

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).resolve().parent
WORK = HERE / ".work"
PEAK = "peak"  # where a watched tracer leaves the peak of its memory


class BenchmarkError(Exception):
    """One line for the person who watches."""


@dataclass(frozen=True, slots=True)
class Step:
    """One command of every round: a load by itself or under a tool.

    :ivar output: what the command makes, which is removed each time before.
    """

    load: str
    tool: str
    command: Sequence[str]
    output: str | None = None


def measure(
    steps: Sequence[Step], rounds: int, scratch: Path, stops: Mapping[str, int] | None = None
) -> Figures:
    """Take every step ``rounds`` times, one after the other within each round.

    :param stops: see Figures.
    """
    figures = Figures(stops=dict(stops or {}))
    seen = set()
    for step in steps:
        if step.load not in seen:
            seen.add(step.load)
            say(f"{step.load}: warming up")
            once(step, scratch)
    for number in range(rounds):
        for step in steps:
            say(f"round {number + 1} of {rounds}: {step.load}, {step.tool}")
            figures.add(step.load, step.tool, once(step, scratch), _peak(scratch))
    say("")
    return figures


def once(step: Step, scratch: Path) -> float:
    """Wall seconds of one command.

    :raises BenchmarkError: it failed, so that its time means nothing.
    """
    command = step.command
    (scratch / PEAK).unlink(missing_ok=True)
    if step.output is not None:
        shutil.rmtree(step.output, ignore_errors=True)
    began = time.perf_counter()
    result = subprocess.run(
        command, cwd=scratch, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    taken = time.perf_counter() - began
    if result.returncode != 0:
        said = result.stderr.decode(errors="replace").strip()
        raise BenchmarkError(f"cannot measure {' '.join(command)}: {result.returncode} {said}")
    return taken


def _peak(scratch: Path) -> int | None:
    try:
        return int((scratch / PEAK).read_text())
    except FileNotFoundError:
        return None


def call(command: Sequence[str]) -> None:
    """Run a command that prepares something.

    :raises BenchmarkError: it failed.
    """
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BenchmarkError(f"cannot find {command[0]}") from None
    if result.returncode != 0:
        raise BenchmarkError(f"cannot run {' '.join(command)}: {result.stderr.strip()}")


def compile_c(source: Path) -> str:
    """A C file's program, made again when the file is newer."""
    WORK.mkdir(exist_ok=True)
    program = WORK / source.stem
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        call(["cc", "-O2", "-Wall", "-o", str(program), str(source)])
    return str(program)


def say(text: str) -> None:
    """What is going on, on a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
