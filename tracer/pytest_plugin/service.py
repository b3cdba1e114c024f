"""A service for tests: started, under slimtrace or not, waited for until it is ready, stopped."""

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
"""Seconds for a service to end after SIGTERM: less than pytest-xdist leaves to its workers."""
_GRACE_KILLED = 2.0
_STOPPED = {0, 128 + signal.SIGTERM, 128 + signal.SIGINT}
"""How a service ends that was told to; by a test, if not by us."""
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Service:
    """A service that runs and is ready.

    :ivar url: where it is, without a path: ``http://127.0.0.1:8080``; ``tcp://HOST:PORT`` if all
        that is known of it is a port.
    :ivar process: slimtrace, or what stands in its place where nothing is traced: not the app's
        own process. It passes SIGTERM on, and ends with the app, with its exit status.
    :ivar log: the file that its output goes to.
    """

    url: str
    host: str
    port: int
    process: subprocess.Popen[bytes]
    log: str


def start_service(
    wanted: ServiceSpec, trace: str | None, log: str, running: list[RunningService]
) -> Service:
    """Start a service and wait until it is ready.

    :param trace: where its trace goes; None for no trace.
    :param log: the file that its output goes to.
    :param running: what is to be stopped at the end; gets the service before it is waited for.
    :raises SlimtraceError: it ended early, never was ready, or what shows that it is answers
        already.
    """
    wanted = choose_port(wanted)
    ready = parse_ready(wanted.ready, None, wanted.cwd)
    if not isinstance(ready, TcpPort | Url):
        raise UsageError(
            f"cannot wait for a service by {wanted.ready}: it has no address",
            "say http://127.0.0.1:{port}/ or tcp:{port}",
        )
    check_not_ready(ready, None)
    process = _launch(wanted, trace, log)
    started = RunningService(wanted, Service(*_get_address(ready), process, log), trace)
    running.append(started)
    failure = _wait(started, ready)
    if failure is not None:
        running.remove(started)
        stop_services([started])
        raise failure
    return started.service


def _launch(wanted: ServiceSpec, trace: str | None, log: str) -> subprocess.Popen[bytes]:
    with open(log, "wb") as output:
        try:
            return subprocess.Popen(
                make_argv(wanted, trace),
                cwd=wanted.cwd,
                env=make_environment(wanted),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for pytest, which stops its services
            )
        except OSError as error:
            where = error.filename or wanted.cwd
            raise DriverError(f"cannot start {wanted.name}: {where}: {error.strerror}") from error


def _wait(started: RunningService, ready: TcpPort | Url) -> DriverError | None:
    """Wait until a service is ready; why it is not."""
    wanted, process = started.spec, started.service.process
    deadline = time.monotonic() + wanted.timeout
    while True:
        is_ready = explain_not_ready(ready, HOST_VIEW.open_path) is None
        if process.poll() is not None:
            how = f"it ended with {_format_status(_read_exit_status(started))} before it was ready"
            return _make_error(started, "start", how)
        if is_ready:
            return None
        if time.monotonic() > deadline:
            how = f"{wanted.ready} did not answer in {wanted.timeout:g} s"
            return _make_error(started, "start", how)
        time.sleep(_POLL_SECONDS)


def _read_exit_status(started: RunningService) -> int:
    """The app's exit status, in whose place slimtrace says 1 where it saw no readiness before."""
    status = started.service.process.returncode
    if status == DriverError.exit_status and started.trace is not None:
        with suppress(SlimtraceError):
            return read_trace(started.trace).runs[-1].exit_status or 0
    return int(status)


@dataclass(frozen=True, slots=True)
class RunningService:
    """A service that was started, ready or not; ``trace`` is where it is traced to."""

    spec: ServiceSpec
    service: Service
    trace: str | None


def stop_services(running: Sequence[RunningService]) -> list[DriverError]:
    """End services, all at once: SIGTERM, then what ends every process below, then SIGKILL.

    :returns: what is to be said of those that had failed before, or in stopping.
    """
    processes = [each.service.process for each in running]
    before = [process.poll() for process in processes]
    try:
        _end(processes, signal.SIGTERM, _GRACE_SECONDS)
        _end(processes, signal.SIGTERM, _GRACE_KILLED)
    finally:
        _kill(processes)
    found = [_find_failure(each, status) for each, status in zip(running, before, strict=True)]
    return [complaint for complaint in found if complaint is not None]


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
    """Send a signal to all that live and wait for them."""
    for process in processes:
        process.send_signal(number)  # which does nothing to one that has ended
    deadline = time.monotonic() + grace
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, deadline - time.monotonic()))


def _kill(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """End those that live, and wait for their guards to end what is below them."""
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
    for left in psutil.wait_procs(below, _GRACE_KILLED)[1]:
        with suppress(psutil.NoSuchProcess):
            left.kill()


def _get_address(ready: TcpPort | Url) -> tuple[str, str, int]:
    """The URL, host and port of a service."""
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
    """With the last lines that the service printed."""
    with open(started.service.log, errors="backslashreplace") as file:
        lines = file.read().splitlines()[-_LAST_LINES:]
    said = "\n".join(["the last that it printed:", *(f"  {line}" for line in lines)])
    message = f"cannot {verb} {started.spec.name}: {how}"
    return DriverError(message, said if lines else "it printed nothing")
