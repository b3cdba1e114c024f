"""Every end of a driven run: no process is left, and one line says what failed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from traces import SECONDS, allow_all_users, command, environment, show

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conftest import Trace

SLEEP = ["sh", "-c", "exec sleep 1000"]


@pytest.fixture
def marker() -> Iterator[str]:
    """Yield an argument for sleep(1); afterwards, check that no process with it is left."""
    duration = f"31536004.{os.getpid()}{time.monotonic_ns() % 1000000:06}"
    yield duration
    deadline = time.monotonic() + 60
    while _find_processes(duration):
        assert time.monotonic() < deadline, _find_processes(duration)
        time.sleep(0.02)


def _find_processes(marker: str) -> list[psutil.Process]:
    """Find processes that have this argument, slimtrace included."""
    processes = psutil.process_iter(["cmdline"])
    return [p for p in processes if any(marker in each for each in p.info["cmdline"] or ())]


def test_a_driver_that_never_ends(traced: Trace, marker: str) -> None:
    driver = f"sleep {marker} & sleep {marker}; true"
    run = traced(SLEEP, "--exec", driver, "--exec-timeout", "0.5", "--exec", "echo not run")
    message = f"cannot drive the app: {driver!r} still ran after 0.5 s (--exec-timeout)"
    assert (run.status, run.stderr) == (1, f"slimtrace: {message}\n")
    answers = [{"driver": driver, "status": None}]
    driven = {"ready": None, "answers": answers, "failure": message, "stopped": False}
    assert run.run["driven"] == driven
    assert run.run["signal"] == signal.SIGTERM


def test_background_processes_of_a_driver_end_with_the_run(traced: Trace, marker: str) -> None:
    found = f"pgrep -f 'sleep {marker}' >&2 || exit 4"
    run = traced(SLEEP, "--exec", f"sleep {marker} & true", "--exec", found)
    assert run.status == 0, run.stderr
    assert run.stderr.strip().replace("\n", "").isdigit()


def test_an_app_that_ignores_the_stop_signal(tmp_path: Path, marker: str) -> None:
    script = f"trap '' TERM; echo up; sleep {marker}; sleep {marker}"
    arguments = (
        "--ready",
        "log:up",
        "--exec",
        "true",
        "--stop-grace",
        "0.4",
        "--",
        "sh",
        "-c",
        script,
    )
    done = subprocess.run(
        command("run", "-o", f"{tmp_path}/x", *arguments),
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[0] == (
        "slimtrace: the app did not end in 0.4 s after SIGTERM: killed"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_stops_drivers_too(
    tmp_path: Path, marker: str, number: signal.Signals
) -> None:
    driver = f"touch {tmp_path}/began; sleep {marker}"
    arguments = ("--exec", driver, "--exec", "echo not run", "--", "sleep", marker)
    with subprocess.Popen(
        command("-q", "run", "-o", f"{tmp_path}/x", *arguments),
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        process_group=0,
    ) as process:
        deadline = time.monotonic() + SECONDS / 4
        while not (tmp_path / "began").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        began = time.monotonic()
        process.send_signal(number)
        _, output = process.communicate(timeout=SECONDS)
    assert time.monotonic() - began < 5
    assert process.returncode == 1
    assert output == f"slimtrace: cannot drive the app: {driver!r} was interrupted\n"
    run = show(f"{tmp_path}/x")["runs"][0]
    assert (run["signal"], run["complete"]) == (number, True)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_before_the_app_is_ready(
    tmp_path: Path, marker: str, number: signal.Signals
) -> None:
    arguments = ("--ready", "log:never", "--", "sh", "-c", f"echo up; exec sleep {marker}")
    with subprocess.Popen(
        command("-q", "run", "-o", f"{tmp_path}/x", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        process_group=0,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        _, output = process.communicate(timeout=SECONDS)
    assert process.returncode == 1
    ended = signal.strsignal(number)
    first = f"slimtrace: cannot drive the app: it ended before it was ready: {ended}\n"
    assert output == f"{first}    up\n"


def test_a_first_process_that_exits_while_its_child_serves(traced: Trace, marker: str) -> None:
    """The first process may exit; its children can still become ready."""
    script = f"(sleep 0.3; echo up; exec sleep {marker}) & exit 0"
    run = traced(["sh", "-c", script], "--ready", "log:up", "--exec", "true")
    assert (run.status, run.stdout, run.stderr) == (0, "up\n", "")


def test_a_page_that_is_never_answered(traced: Trace, marker: str) -> None:
    script = (
        "import socket, time; s = socket.create_server(('127.0.0.1', 0)); print('up', flush=True); "
        f"marker = '{marker}'; kept = s.accept(); time.sleep(1000)"
    )
    arguments = [os.path.realpath(sys.executable), "-c", script]
    options = ("--ready", "log:up", "--http-get", "/", "--exec-timeout", "0.5")
    run = traced(arguments, *options)
    assert run.status == 1
    assert run.stderr == "slimtrace: cannot drive the app: GET / got no answer: timed out\n"


def test_as_an_ordinary_user(tmp_path: Path, unprivileged: tuple[str, ...], marker: str) -> None:
    allow_all_users(tmp_path)
    script = f"echo up; exec sleep {marker}"
    arguments = (
        "--ready",
        "log:up",
        "--exec",
        "echo $SLIMTRACE_PORT driven",
        "--",
        "sh",
        "-c",
        script,
    )
    done = subprocess.run(
        [*unprivileged, *command("-q", "run", "-o", f"{tmp_path}/x", *arguments)],
        check=False,
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stdout) == (0, "up\n"), done.stderr
    assert done.stderr == "driven\n"
