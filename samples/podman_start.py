"""Starts a sample's image in podman, and drives it as its traced run was driven."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import tempfile
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never
from urllib.parse import urljoin

from commands import SampleError
from containers import find_working_flags, podman

from slimtrace.tracer.drive.http import get, get_request_target, parse_address
from slimtrace.tracer.drive.probes import check_not_ready, explain_not_ready
from slimtrace.tracer.drive.ready import Delay, LogLine, ReadyCommand, parse_ready
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.process.root_view import HOST_VIEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from sample import TracedRun

    from slimtrace.tracer.drive.ready import Ready

    Inside = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]

TIMEOUT_SECONDS = 120.0
"""How long an app may take to be ready, a job to end, a request to be answered."""
_POLL_SECONDS = 0.01
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class StartResult:
    """The result of a start.

    :ivar seconds: the time until the ready check succeeded, or a job ended. An app without a ready
        check is ready when its driver ends.
    :ivar fault: how it failed to serve, or how a job failed; None for success.
    """

    seconds: float
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class RunningApp:
    """An app that runs in a container.

    :ivar output: its stdout and stderr.
    :ivar is_up: returns whether the container has executed it.
    :ivar inside: runs a command in its container.
    """

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    is_up: Callable[[], bool]
    inside: Inside

    def read_output(self) -> bytes:
        self.output.seek(0)
        return self.output.read()


@contextlib.contextmanager
def run_in_podman(
    run: TracedRun, image: str, *options: str, volumes: Sequence[str] = ()
) -> Iterator[RunningApp]:
    """Run a container, and remove it when the block ends.

    :param image: a name in podman's storage.
    :param options: of ``podman run``.
    :param volumes: values for ``--volume``.
    :raises SampleError: podman cannot run containers here.
    """
    flags, name = find_working_flags(), f"slimtrace-sample-{uuid.uuid4().hex}"
    argv = ["podman", *flags.runtime, "run", "--rm", "--name", name, *flags.limits]
    if "--network" not in flags.limits:
        argv += ["--network", "host"]  # this process connects to the app's port
    for volume in volumes:
        argv += ["--volume", volume]

    def inside(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return podman(*flags.runtime, "exec", name, *argv)

    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/output", "w+b") as output:
        pid = f"{folder}/pid"
        argv += ["--pidfile", pid, *options, image, *run.command]
        null = subprocess.DEVNULL
        process = subprocess.Popen(argv, stdin=null, stdout=output, stderr=output)
        try:
            yield RunningApp(process, output, lambda: os.path.exists(pid), inside)
        finally:
            podman("rm", "--force", "--time", "0", name)
            process.wait(TIMEOUT_SECONDS)


def start_app(
    run: TracedRun, start: contextlib.AbstractContextManager[RunningApp], *, drive: bool = True
) -> StartResult:
    """Start the app, and drive it as its traced run was driven.

    :param drive: False to wait only until it is ready.
    :raises SampleError: something else answers the ready check before the start.
    """
    ready = None if run.ready is None else parse_ready(run.ready, None, "/")
    if ready is not None:
        try:
            check_not_ready(ready, None)
        except SlimtraceError as error:
            raise SampleError(str(error)) from error
    began = time.monotonic()
    with start as app:
        fault = _wait_for_job(app) if ready is None else _wait_until_ready(app, ready)
        seconds = time.monotonic() - began
        if fault is None and ready is not None:
            if drive or isinstance(ready, Delay):
                fault = _drive(app, run)
            if isinstance(ready, Delay):
                seconds = time.monotonic() - began
            if fault is None and app.process.poll() is not None:
                fault = f"it ended with {app.process.returncode}"
        return StartResult(seconds, fault and f"{fault}{_tail_output(app)}")


def _wait_for_job(app: RunningApp) -> str | None:
    """Wait until a job ends; returns how it failed, or None."""
    try:
        status = app.process.wait(TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired:
        return f"it still runs after {TIMEOUT_SECONDS:.0f} s"
    return f"it ended with {status}" if status else None


def _wait_until_ready(app: RunningApp, ready: Ready) -> str | None:
    """Returns why the app is not ready in time, or None."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while (cause := _check_ready(app, ready)) is not None:
        if app.process.poll() is not None:
            return f"it ended with {app.process.returncode} before it was ready"
        if time.monotonic() > deadline:
            return f"it is not ready after {TIMEOUT_SECONDS:.0f} s: {cause}"
        time.sleep(_POLL_SECONDS)
    return None


def _check_ready(app: RunningApp, ready: Ready) -> str | None:
    match ready:
        case Delay():
            return None if app.is_up() else "it is not executed"  # its driver waits
        case LogLine():
            lines = app.read_output().decode(errors="replace").splitlines()
            found = sum(ready.pattern.search(line) is not None for line in lines)
            return None if found >= ready.count else f"{found} lines of its output match"
        case ReadyCommand():
            done = subprocess.run(["sh", "-c", ready.command], check=False, capture_output=True)
            return f"{ready} failed" if done.returncode else None
        case _:
            return explain_not_ready(ready, HOST_VIEW.open_path)
    assert_never(ready)


def _drive(app: RunningApp, run: TracedRun) -> str | None:
    """Send the run's requests and run its commands; returns the first failure, or None."""
    for path in run.get:
        url = urljoin(run.ready or "", path)
        try:
            status = get(parse_address(url), get_request_target(url), TIMEOUT_SECONDS).code
        except (OSError, ValueError) as error:
            return f"GET {path}: {error}"
        if status >= _BAD_REQUEST:
            return f"GET {path} answered {status}"
    for command in run.exec:
        argv = ["sh", "-c", command]
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
        )
        if done.returncode != 0:
            return f"{command}: exit status {done.returncode}: {done.stderr.strip()}"
    for command in run.exec_in:
        done = app.inside(shlex.split(command))
        if done.returncode != 0:
            return f"{command}: exit status {done.returncode}: {done.stderr.strip()[-500:]}"
    return None


def _tail_output(app: RunningApp) -> str:
    output = app.read_output().decode(errors="replace").strip()
    return f": {output[-500:]}" if output else ""
