"""A sample's image in a container: started, waited for, driven as its traced run was, removed."""

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

from containers import podman, working_flags
from fullimage import SampleError

from slimtrace.tracer.drive.http import get, parse_address, request_target
from slimtrace.tracer.drive.probes import check_not_ready, why_not
from slimtrace.tracer.drive.ready import Delay, LogLine, parse_ready
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.process.root_view import HOST_VIEW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from sample import Sample, TracedRun

    from slimtrace.tracer.drive.ready import Ready

    Inside = Callable[[Sequence[str]], subprocess.CompletedProcess[str]]

PATIENCE = 30.0
"""Seconds for an app to be ready, a job to end, a request to be answered."""
_POLL = 0.01
_BAD_REQUEST = 400


@dataclass(frozen=True, slots=True)
class Start:
    """What came of starting an image.

    :ivar seconds: until what shows that the app is ready did, or a job was at its end. An app of
        which nothing shows it, is ready when it has done what drives it.
    :ivar fault: how it failed to serve, or of a job to end with 0; None where it did well.
    """

    seconds: float
    fault: str | None = None


@dataclass(frozen=True, slots=True)
class Started:
    """An app that runs.

    :ivar output: what it says on stdout and stderr.
    :ivar is_up: whether it has been executed.
    :ivar inside: runs a command beside it, in its container.
    """

    process: subprocess.Popen[bytes]
    output: IO[bytes]
    is_up: Callable[[], bool]
    inside: Inside

    def said(self) -> bytes:
        self.output.seek(0)
        return self.output.read()


@contextlib.contextmanager
def in_podman(
    sample: Sample, run: TracedRun, image: str, *options: str, volumes: Sequence[str] = ()
) -> Iterator[Started]:
    """A container, which is gone when the block ends.

    :param image: a name in podman's storage.
    :param options: of ``podman run``.
    :param volumes: words for ``--volume``.
    :raises SampleError: podman cannot run containers here.
    """
    flags, name = working_flags(), f"slimtrace-sample-{uuid.uuid4().hex}"
    words = ["podman", *flags.runtime, "run", "--rm", "--name", name, *flags.limits]
    if "--network" not in flags.limits:
        words += ["--network", "host"]  # the app's port is asked from here
    if run.command and not sample.entrypoint:
        words += ["--entrypoint", ""]  # build makes one of the first word of what ran
    for volume in volumes:
        words += ["--volume", volume]

    def inside(argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return podman(*flags.runtime, "exec", name, *argv)

    with tempfile.TemporaryDirectory() as folder, open(f"{folder}/output", "w+b") as output:
        pid = f"{folder}/pid"
        words += ["--pidfile", pid, *options, image, *run.command]
        null = subprocess.DEVNULL
        process = subprocess.Popen(words, stdin=null, stdout=output, stderr=output)
        try:
            yield Started(process, output, lambda: os.path.exists(pid), inside)
        finally:
            podman("rm", "--force", "--time", "0", name)
            process.wait(PATIENCE)


def serve(
    run: TracedRun, start: contextlib.AbstractContextManager[Started], *, drive: bool = True
) -> Start:
    """Start the app, and let it do what its traced run did.

    :param drive: false where it is enough that it is ready.
    :raises SampleError: something else is where the app should be.
    """
    ready = None if run.ready is None else parse_ready(run.ready, None, "/")
    if ready is not None:
        try:
            check_not_ready(ready, None)
        except SlimtraceError as error:
            raise SampleError(str(error)) from error
    began = time.monotonic()
    with start as app:
        fault = _job(app) if ready is None else _why_not_ready(app, ready)
        seconds = time.monotonic() - began
        if fault is None and ready is not None:
            if drive or isinstance(ready, Delay):
                fault = _why_not_driven(app, run)
            if isinstance(ready, Delay):
                seconds = time.monotonic() - began
            if fault is None and app.process.poll() is not None:
                fault = f"it ended with {app.process.returncode}"
        return Start(seconds, fault and f"{fault}{_last_words(app)}")


def _job(app: Started) -> str | None:
    """How a job failed."""
    try:
        status = app.process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return f"it still runs after {PATIENCE:.0f} s"
    return f"it ended with {status}" if status else None


def _why_not_ready(app: Started, ready: Ready) -> str | None:
    deadline = time.monotonic() + PATIENCE
    while (why := _why_not_yet(app, ready)) is not None:
        if app.process.poll() is not None:
            return f"it ended with {app.process.returncode} before it was ready"
        if time.monotonic() > deadline:
            return f"it is not ready after {PATIENCE:.0f} s: {why}"
        time.sleep(_POLL)
    return None


def _why_not_yet(app: Started, ready: Ready) -> str | None:
    match ready:
        case Delay():
            return None if app.is_up() else "it is not executed"  # its driver does the waiting
        case LogLine():
            lines = app.said().decode(errors="replace").splitlines()
            return None if any(map(ready.pattern.search, lines)) else "no line says so"
        case _:
            return why_not(ready, HOST_VIEW.open_path)
    assert_never(ready)


def _why_not_driven(app: Started, run: TracedRun) -> str | None:
    """What drives it first fails by."""
    for path in run.get:
        url = urljoin(run.ready or "", path)
        try:
            status = get(parse_address(url), request_target(url), PATIENCE).code
        except (OSError, ValueError) as error:
            return f"GET {path}: {error}"
        if status >= _BAD_REQUEST:
            return f"GET {path} was answered {status}"
    for command in run.exec:
        words = ["sh", "-c", command]
        done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            return f"{command}: exit status {done.returncode}: {done.stderr.strip()}"
    for command in run.exec_in:
        done = app.inside(shlex.split(command))
        if done.returncode != 0:
            return f"{command}: exit status {done.returncode}: {done.stderr.strip()[-500:]}"
    return None


def _last_words(app: Started) -> str:
    said = app.said().decode(errors="replace").strip()
    return f": {said[-500:]}" if said else ""
