"""Runs commands to prepare a benchmark, and measures commands in rounds."""

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
PEAK = "peak"  # the file to which peak_memory.py writes


class BenchmarkError(Exception):
    """A failure, as one line for the user."""


@dataclass(frozen=True, slots=True)
class Step:
    """A command of each round: a load by itself or under a tool.

    :ivar output: the file or folder that the command makes; it is removed before each run.
    """

    load: str
    tool: str
    command: Sequence[str]
    output: str | None = None


def measure(
    steps: Sequence[Step], rounds: int, scratch: Path, stops: Mapping[str, int] | None = None
) -> Figures:
    """Run the steps ``rounds`` times, in turn within each round.

    :param stops: as in Figures.
    """
    figures = Figures(stops=dict(stops or {}))
    warm = set()
    for step in steps:
        if step.load not in warm:
            warm.add(step.load)
            say(f"{step.load}: warming up")
            run_once(step, scratch)
    for number in range(rounds):
        for step in steps:
            say(f"round {number + 1} of {rounds}: {step.load}, {step.tool}")
            figures.add(step.load, step.tool, run_once(step, scratch), _read_peak(scratch))
    say("")
    return figures


def run_once(step: Step, scratch: Path) -> float:
    """Run one command; returns its wall-clock time in seconds.

    :raises BenchmarkError: it failed.
    """
    command = step.command
    (scratch / PEAK).unlink(missing_ok=True)
    if step.output is not None:
        shutil.rmtree(step.output, ignore_errors=True)
    began = time.perf_counter()
    result = subprocess.run(
        command, cwd=scratch, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    seconds = time.perf_counter() - began
    if result.returncode != 0:
        errors = result.stderr.decode(errors="replace").strip()
        raise BenchmarkError(f"cannot measure {' '.join(command)}: {result.returncode} {errors}")
    return seconds


def _read_peak(scratch: Path) -> int | None:
    try:
        return int((scratch / PEAK).read_text())
    except FileNotFoundError:
        return None


def call(command: Sequence[str]) -> None:
    """Run a command that prepares a benchmark.

    :raises BenchmarkError: it failed.
    """
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise BenchmarkError(f"cannot find {command[0]}") from None
    if result.returncode != 0:
        raise BenchmarkError(f"cannot run {' '.join(command)}: {result.stderr.strip()}")


def compile_c(source: Path) -> str:
    """Compile a C file, unless its program is newer; returns the program's path."""
    WORK.mkdir(exist_ok=True)
    program = WORK / source.stem
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        call(["cc", "-O2", "-Wall", "-o", str(program), str(source)])
    return str(program)


def say(text: str) -> None:
    """Show the progress, only on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
