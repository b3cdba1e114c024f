"""Starts a service for tests, with or without slimtrace, waits until it is ready, and stops it."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from slimtrace.tracer.drive.probes import check_not_ready, explain_not_ready
from slimtrace.tracer.drive.ready import TcpPort, Url, parse_ready
from slimtrace.tracer.errors import DriverError, SlimtraceError, UsageError
from slimtrace.tracer.process.root_view import HOST_VIEW
from slimtrace.tracer.pytest_plugin.service_spec import choose_port, make_argv, make_environment
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from slimtrace.tracer.pytest_plugin.service_spec import ServiceSpec

_POLL_SECONDS = 0.02
_LAST_LINES = 20
_GRACE_SECONDS = 5.0
"""Time for a service to end after SIGTERM: less than pytest-xdist gives its workers."""
_KILL_GRACE_SECONDS = 2.0
_STOPPED = {0, 128 + signal.SIGTERM, 128 + signal.SIGINT}
"""Exit statuses of a service that was stopped, by us or by a test."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs and is ready.

    :ivar url: its URL without a path: ``http://127.0.0.1:8080``; ``tcp://HOST:PORT`` if only a
        port is known.
    :ivar process: not the app's own process, but slimtrace, or a guard if nothing is traced. It
        forwards SIGTERM, and ends when the app ends, with the same exit status.
    :ivar log: the file with its output.
    """

    url: str
    host: str
    port: int
    process: subprocess.Popen[bytes]
    log: str


def start_service(
    spec: ServiceSpec, trace: str | None, log: str, running: list[RunningService]
) -> Service:
    """Start a service and wait until it is ready.

    :param trace: the trace to write; None for no trace.
    :param log: the file for its output.
    :param running: the services to stop at the end; this service is added before the wait.
    :raises SlimtraceError: it ended early, was not ready in time, or something else answers at
        its address.
    """
    spec = choose_port(spec)
    ready = parse_ready(spec.ready, None, spec.cwd)
    if not isinstance(ready, TcpPort | Url):
        raise UsageError(
            f"cannot wait for a service by {spec.ready}: it has no address",
            "use http://127.0.0.1:{port}/ or tcp:{port}",
        )
    check_not_ready(ready, None)
    process = _launch(spec, trace, log)
    started = RunningService(spec, Service(*_get_address(ready), process, log), trace)
    running.append(started)
    failure = _wait(started, ready)
    if failure is not None:
        running.remove(started)
        stop_services([started])
        raise failure
    return started.service


def _launch(spec: ServiceSpec, trace: str | None, log: str) -> subprocess.Popen[bytes]:
    with open(log, "wb") as output:
        try:
            return subprocess.Popen(
                make_argv(spec, trace),
                cwd=spec.cwd,
                env=make_environment(spec),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for pytest, which stops its services
            )
        except OSError as error:
            where = error.filename or spec.cwd
            raise DriverError(f"cannot start {spec.name}: {where}: {error.strerror}") from error


def _wait(started: RunningService, ready: TcpPort | Url) -> DriverError | None:
    """Wait until a service is ready; return the error if it is not."""
    spec, process = started.spec, started.service.process
    deadline = time.monotonic() + spec.timeout
    while True:
        is_ready = explain_not_ready(ready, HOST_VIEW.open_path) is None
        if process.poll() is not None:
            how = f"it ended with {_format_status(_read_exit_status(started))} before it was ready"
            return _make_error(started, "start", how)
        if is_ready:
            return None
        if time.monotonic() > deadline:
            how = f"{spec.ready} did not answer in {spec.timeout:g} s"
            return _make_error(started, "start", how)
        time.sleep(_POLL_SECONDS)


def _read_exit_status(started: RunningService) -> int:
    """Return the app's exit status; slimtrace itself ends with 1 if the app was not ready."""
    status = started.service.process.returncode
    if status == DriverError.exit_status and started.trace is not None:
        with suppress(SlimtraceError):
            return read_trace(started.trace).runs[-1].exit_status or 0
    return int(status)


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that was started, ready or not.

    :ivar trace: the trace file; None for no trace.
    """

    spec: ServiceSpec
    service: Service
    trace: str | None


def stop_services(running: Sequence[RunningService]) -> list[DriverError]:
    """End all services together: SIGTERM, again to all their processes, then SIGKILL.

    :returns: an error for each service that failed before or while it was stopped.
    """
    processes = [each.service.process for each in running]
    before = [process.poll() for process in processes]
    try:
        _end(processes, signal.SIGTERM, _GRACE_SECONDS)
        _end(processes, signal.SIGTERM, _KILL_GRACE_SECONDS)
    finally:
        _kill(processes)
    failures = [_find_failure(each, status) for each, status in zip(running, before, strict=True)]
    return [failure for failure in failures if failure is not None]


def _find_failure(stopped: RunningService, before: int | None) -> DriverError | None:
    """:param before: its exit status if it had ended before it was stopped."""
    status = stopped.service.process.returncode
    if before is not None and before not in _STOPPED:
        how = f"it ended with {_format_status(_read_exit_status(stopped))} while it was tested"
    elif status == SlimtraceError.exit_status:
        how = f"slimtrace ended with {_format_status(status)}"
    else:
        return None
    return _make_error(stopped, "go on with", how)


def _end(processes: Sequence[subprocess.Popen[bytes]], number: int, grace: float) -> None:
    """Send a signal to all live processes and wait for them."""
    for process in processes:
        process.send_signal(number)  # does nothing after the process has ended
    deadline = time.monotonic() + grace
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def _kill(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Kill the live processes, and wait until their guards have ended the descendants."""
    living = [process for process in processes if process.poll() is None]
    if not living:
        return
    import psutil  # noqa: PLC0415 -- 20 ms for what is rarely needed

    below = []
    for process in living:
        with suppress(psutil.NoSuchProcess):
            below += psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait()
    for left in psutil.wait_procs(below, _KILL_GRACE_SECONDS)[1]:
        with suppress(psutil.NoSuchProcess):
            left.kill()


def _get_address(ready: TcpPort | Url) -> tuple[str, str, int]:
    """Return the URL, host and port of a service."""
    if isinstance(ready, TcpPort):
        return f"tcp://{ready.host}:{ready.port}", ready.host, ready.port
    parts = urlsplit(ready.url)
    return (
        f"{parts.scheme}://{parts.netloc}",
        parts.hostname or "",
        parts.port or _PORTS[parts.scheme],
    )


def _format_status(code: int) -> str:
    return f"exit status {code if code >= 0 else 128 - code}"


def _make_error(started: RunningService, verb: str, how: str) -> DriverError:
    """Return an error with the last lines of the service's output."""
    with open(started.service.log, errors="backslashreplace") as file:
        lines = file.read().splitlines()[-_LAST_LINES:]
    output = "\n".join(["its last lines were:", *(f"  {line}" for line in lines)])
    message = f"cannot {verb} {started.spec.name}: {how}"
    return DriverError(message, output if lines else "it printed nothing")
