"""Signals, stops and kills at any moment."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import pytest
from hazards import Hazard, check_hazard, parametrize_hazards
from traces import SECONDS, command, environment, make_tree, show

from slimtrace.tracer.engines.choice import ENGINES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Trace, Tracee

TIMES = 20
# Each part runs TIMES times: 100 in total for the default engine, fewer for the others. The parts
# run in parallel.
PARTS = [
    pytest.param(engine, part, id=f"{engine}-{part}")
    for engine in ENGINES
    for part in range(5 if engine == ENGINES[0] else 2)
]


@parametrize_hazards(
    Hazard(
        "SIGTRAP that the program itself causes",
        "traps",
        tree={"file": ""},
        expected={"file": "file read"},
    ),
    Hazard(
        "job control: stops, waits for stops and continues, a kill while stopped",
        "group_stop",
        tree={"after the stop": ""},
        expected={"after the stop": "file read"},
    ),
    Hazard(
        "a timer that fires all the time, with SA_RESTART",
        "eintr",
        arguments=["restart", "2000"],
        tree={"file": ""},
        expected={"file": "file read", "made": "created create write"},
    ),
    Hazard(
        "a timer that fires all the time, without SA_RESTART",
        "eintr",
        arguments=["interrupt", "2000"],
        tree={"file": ""},
        expected={"file": "file read", "made": "created create write"},
    ),
    Hazard(
        "processes that end while their threads are in file calls",
        "exit_group",
        tree={"file": ""},
        expected={"file": "file stat", "done": "created create write"},
    ),
)
def test_signals(hazard: Hazard, traced: Trace, tracee: Tracee) -> None:
    check_hazard(hazard, traced, tracee)


@pytest.mark.parametrize(("engine", "part"), PARTS)
def test_a_tracee_killed_at_a_random_moment(
    tmp_path: Path, tracee: Tracee, engine: str, part: int
) -> None:
    """Slimtrace ends after the last process, whichever is killed first; the trace is readable."""
    rng = random.Random(part)  # noqa: S311 -- picks a moment, no key
    program = _copy_program(tmp_path, tracee("endless"))
    for attempt in range(TIMES):
        output = str(tmp_path / f"{attempt}.trace")
        with _Endless(
            program, make_tree(str(tmp_path / "work"), {"file": ""}), output, engine
        ) as app:
            victims = app.tracees()
            assert len(victims) == 2
            below = app.below()
            rng.shuffle(victims)
            app.sleep_randomly(rng)
            for victim in victims:
                os.kill(victim, signal.SIGKILL)
            assert app.tracer.wait(SECONDS) == 128 + signal.SIGKILL
            _wait_until(_have_states, below, _DEAD)
        assert _find_processes(program) == []
        document = show(output)
        assert document["runs"][0]["signal"] == signal.SIGKILL
        assert document["runs"][0]["complete"] is True
        assert f"{tmp_path}/work/file" in {entry["path"] for entry in document["files"]}


@pytest.mark.parametrize(("engine", "part"), PARTS)
def test_the_tracer_killed_at_a_random_moment(
    tmp_path: Path, tracee: Tracee, engine: str, part: int
) -> None:
    """No process survives, and the trace is readable up to that moment."""
    rng = random.Random(part)  # noqa: S311 -- picks a moment, no key
    program = _copy_program(tmp_path, tracee("endless"))
    for attempt in range(TIMES):
        output = str(tmp_path / f"{attempt}.trace")
        with _Endless(
            program, make_tree(str(tmp_path / "work"), {"file": ""}), output, engine
        ) as app:
            assert len(app.tracees()) == 2
            below = app.below()
            app.sleep_randomly(rng)
            app.tracer.kill()
            _wait_until(_have_states, below, _DEAD)
        assert _find_processes(program) == []
        document = show(output)
        assert document["runs"][0]["complete"] is False
        assert [gap["kind"] for gap in document["runs"][0]["gaps"]] == ["interrupted"]
        assert f"{tmp_path}/work/file" in {entry["path"] for entry in document["files"]}


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTSTP])
def test_an_app_stopped_from_outside_continues(
    tmp_path: Path, tracee: Tracee, engine: str, number: signal.Signals
) -> None:
    output = str(tmp_path / "app.trace")
    with _Endless(
        tracee("endless"), make_tree(str(tmp_path / "work"), {"file": ""}), output, engine
    ) as app:
        victims = app.tracees()
        for victim in victims:
            os.kill(victim, number)
        _wait_until(_have_states, victims, _STOPPED)
        before = {victim: _read_cpu_ticks(victim) for victim in victims}
        for victim in victims:
            os.kill(victim, signal.SIGCONT)
        _wait_until(lambda: all(_read_cpu_ticks(victim) > before[victim] for victim in victims))
        for victim in victims:
            os.kill(victim, signal.SIGTERM)
        assert app.tracer.wait(SECONDS) == 128 + signal.SIGTERM
    assert show(output)["runs"][0]["signal"] == signal.SIGTERM


def _copy_program(folder: Path, program: str) -> str:
    """Copy a program, so that only one test runs the copy."""
    return str(shutil.copy(program, folder / "endless"))


def _find_processes(program: str) -> list[int]:
    """Return the PIDs of all processes that run this program."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with suppress(OSError):  # gone, or a zombie
            if os.readlink(f"/proc/{pid}/exe") == program:
                found.append(int(pid))
    return found


_DEAD: set[str | None] = {"Z", None}  # the process that adopts orphans may reap them late
_STOPPED: set[str | None] = {"T", "t"}


def _read_stat(pid: int) -> list[str]:
    """Return the fields after the command in /proc/PID/stat (proc(5)); none for no process."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return []


def _have_states(pids: list[int], states: set[str | None]) -> bool:
    return {next(iter(_read_stat(pid)), None) for pid in pids} <= states


def _read_cpu_ticks(pid: int) -> int:
    """Return the CPU time of the process, in clock ticks."""
    return sum(map(int, _read_stat(pid)[11:13]))


def _wait_until(condition: Callable[..., bool], *arguments: object) -> None:
    """Poll until a state in /proc is reached; the kernel sends no event for it."""
    for _ in range(int(SECONDS * 100)):
        if condition(*arguments):
            return
        time.sleep(0.01)
    pytest.fail("the state was not reached")


class _Endless:
    """slimtrace with an app of two processes, which access files until they are killed."""

    def __init__(self, program: str, work: str, output: str, engine: str) -> None:
        self.program = program
        argv = command("-q", "run", "-o", output, "--engine", engine, "--", program, work)
        self.tracer = subprocess.Popen(
            argv,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
            process_group=0,  # SIGTSTP does not stop an orphaned process group (setpgid(2))
        )

    def __enter__(self) -> Self:
        assert self.tracer.stdout is not None
        for _ in range(2):  # one line for each process of the app
            assert self.tracer.stdout.readline() == b"started\n"
        return self

    def tracees(self) -> list[int]:
        """Return the PIDs of the app's first process and its child."""
        return [pid for pid in self.below() if os.readlink(f"/proc/{pid}/exe") == self.program]

    def below(self) -> list[int]:
        """Return the PIDs of all the tracer's descendants: the app and the tracer's helpers."""
        found = list[int]()
        todo = [self.tracer.pid]
        while todo:
            for thread in os.listdir(f"/proc/{(parent := todo.pop())}/task"):
                with open(f"/proc/{parent}/task/{thread}/children") as file:
                    children = list(map(int, file.read().split()))
                found += children
                todo += children
        return found

    def sleep_randomly(self, rng: random.Random) -> None:
        """Sleep for up to 50 ms, chosen at random."""
        time.sleep(rng.random() / 20)

    def __exit__(self, *_: object) -> None:
        assert self.tracer.stdout is not None
        assert self.tracer.stderr is not None
        self.tracer.kill()  # its tracees die with it
        self.tracer.wait(SECONDS)
        self.tracer.stdout.close()
        errors = self.tracer.stderr.read().decode()
        self.tracer.stderr.close()
        assert "Traceback" not in errors, errors
