"""A pytest plugin that traces the services that tests start: ``pytest --slimtrace=app.trace``.

Every pytest in an environment with slimtrace loads this module. So it imports almost nothing, and
does nothing until a test uses one of its fixtures or --slimtrace is given.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from slimtrace.tracer.errors import SlimtraceError
    from slimtrace.tracer.pytest_plugin.service import RunningService, Service
    from slimtrace.tracer.pytest_plugin.service_spec import ServiceSpec

_LOCK = pytest.StashKey[int]()
_SUMMARY = pytest.StashKey[str]()
_READY_TIMEOUT = 60.0


class StartService(Protocol):
    """The type of the fixture ``slimtrace_service``."""

    def __call__(
        self,
        command: str | Sequence[str],
        *,
        ready: str,
        image: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        options: Sequence[str] = (),
        ready_timeout: float = _READY_TIMEOUT,
    ) -> Service:
        """Start a service and wait until it is ready; it is stopped after the tests.

        ``{port}`` in ``command``, ``ready``, ``options`` and the values of ``env`` is replaced
        with one free port.

        :param command: the app and its arguments; a string is split like in a shell.
        :param ready: an http(s) URL that answers with a status below 500, or ``tcp:PORT``.
        :param image: the image to run it in, like ``slimtrace run --image``. Such a service runs
            under slimtrace even without ``--slimtrace``.
        :param env: variables to add to those of pytest, or of the image.
        :param cwd: the directory to run in; by default pytest's rootdir.
        :param options: further arguments of ``slimtrace run``; unused if slimtrace is not used.
        :param ready_timeout: how many seconds it may take to be ready.
        """


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("slimtrace", "slimtrace: services of tests, traced")
    group.addoption(
        "--slimtrace",
        metavar="TRACE",
        help="Trace the services that tests start, and write TRACE; replace an older one.",
    )
    group.addoption(
        "--slimtrace-append",
        action="store_true",
        help="Add this session's runs to TRACE if it exists.",
    )
    parser.addini("slimtrace_command", "The command that slimtrace_url starts.", "args", [])
    parser.addini("slimtrace_ready", "Its http(s) URL, or tcp:PORT; {port} is a free port.")
    parser.addini("slimtrace_ready_timeout", "Seconds until it must be ready (60).")
    parser.addini("slimtrace_image", "The image to run it in (none).")
    parser.addini("slimtrace_options", "Further arguments of slimtrace run.", "args", [])


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    trace = config.option.slimtrace
    if trace is not None:  # absolute, because pytest-xdist's workers may run elsewhere
        config.option.slimtrace = os.path.join(config.invocation_params.dir, trace)
    elif config.option.slimtrace_append:
        raise pytest.UsageError("cannot use --slimtrace-append without --slimtrace=TRACE")


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    config = session.config
    if not _writes_trace(config):
        return
    from slimtrace.tracer.errors import SlimtraceError  # noqa: PLC0415 -- where it is used alone
    from slimtrace.tracer.pytest_plugin.session_trace import begin_session  # noqa: PLC0415

    try:
        lock = begin_session(config.option.slimtrace, append=config.option.slimtrace_append)
    except SlimtraceError as error:
        raise pytest.UsageError(_format_error(error)) from None
    config.stash[_LOCK] = lock


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Merge the traces after all fixtures and workers have ended, before the summary."""
    config = session.config
    try:
        return (yield)
    finally:
        if _LOCK in config.stash:
            _finish(session)
            os.close(config.stash[_LOCK])
            del config.stash[_LOCK]


def _finish(session: pytest.Session) -> None:
    from slimtrace.tracer.errors import SlimtraceError  # noqa: PLC0415 -- where it is used alone
    from slimtrace.tracer.pytest_plugin.session_trace import finish_session  # noqa: PLC0415

    config = session.config
    try:
        runs = finish_session(config.option.slimtrace)
    except SlimtraceError as error:
        config.stash[_SUMMARY] = _format_error(error)
        session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        return
    config.stash[_SUMMARY] = _make_summary(runs, config)


def _make_summary(runs: int, config: pytest.Config) -> str:
    folder = config.invocation_params.dir
    name = os.path.relpath(config.option.slimtrace, folder)
    if not runs:
        return f"slimtrace: wrote no {name}: no service was started"
    image = os.path.splitext(name)[0] + ".tar"
    count = "1 run" if runs == 1 else f"{runs} runs"
    return f"slimtrace: wrote {name} ({count}); next: slimtrace build {name} -o {image}"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if _SUMMARY in config.stash:
        terminalreporter.write_line(config.stash[_SUMMARY])


def _writes_trace(config: pytest.Config) -> bool:
    """Whether this process writes the trace: workers of pytest-xdist write parts of it."""
    is_worker = hasattr(config, "workerinput")
    return config.option.slimtrace is not None and not (is_worker or config.option.collectonly)


@pytest.fixture(scope="session")
def slimtrace_service(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StartService]:
    """Starts services, traced with --slimtrace, and stops them after the tests.

    ``slimtrace_service("python app.py", ready="http://127.0.0.1:8080/").url``
    """
    from slimtrace.tracer.errors import SlimtraceError  # noqa: PLC0415 -- where it is used alone
    from slimtrace.tracer.pytest_plugin.service import stop_services  # noqa: PLC0415
    from slimtrace.tracer.pytest_plugin.service_spec import make_service_spec  # noqa: PLC0415

    running: list[RunningService] = []

    def start_service(
        command: str | Sequence[str],
        *,
        ready: str,
        image: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        options: Sequence[str] = (),
        ready_timeout: float = _READY_TIMEOUT,
    ) -> Service:
        folder = os.path.join(pytestconfig.rootpath, cwd or "")
        try:
            spec = make_service_spec(
                *(command, ready, folder),
                timeout=ready_timeout,
                image=image,
                env=env,
                options=options,
            )
            return _start(spec, pytestconfig, tmp_path_factory, running)
        except SlimtraceError as error:
            failure = _format_error(error)
        pytest.fail(failure, pytrace=False)

    yield start_service
    failed = stop_services(running)
    if failed:
        pytest.fail("\n".join(map(_format_error, failed)), pytrace=False)


def _start(
    spec: ServiceSpec,
    config: pytest.Config,
    folders: pytest.TempPathFactory,
    running: list[RunningService],
) -> Service:
    from slimtrace.tracer.pytest_plugin.service import start_service  # noqa: PLC0415
    from slimtrace.tracer.pytest_plugin.session_trace import get_part_path  # noqa: PLC0415 -- where it is used alone

    folder = str(folders.mktemp("slimtrace"))
    trace = None
    if config.option.slimtrace is not None:
        worker = getattr(config, "workerinput", {}).get("workerid", "main")
        trace = get_part_path(config.option.slimtrace, f"{worker}-{os.path.basename(folder)}")
    elif spec.image is not None:  # only slimtrace can run an app in an image here
        trace = os.path.join(folder, "unused.trace")
    return start_service(spec, trace, os.path.join(folder, "log"), running)


@pytest.fixture(scope="session")
def slimtrace_url(pytestconfig: pytest.Config, slimtrace_service: StartService) -> str:
    """The URL of the service that the settings slimtrace_command, _ready, _image, … describe."""
    get = pytestconfig.getini
    if not get("slimtrace_ready") or not (get("slimtrace_command") or get("slimtrace_image")):
        pytest.fail(
            "cannot start a service for slimtrace_url: set slimtrace_command and slimtrace_ready",
            pytrace=False,
        )
    service = slimtrace_service(
        get("slimtrace_command"),
        ready=get("slimtrace_ready"),
        image=get("slimtrace_image") or None,
        options=get("slimtrace_options"),
        ready_timeout=_parse_seconds(get("slimtrace_ready_timeout")),
    )
    return service.url


def _parse_seconds(text: str) -> float:
    try:
        return float(text or _READY_TIMEOUT)
    except ValueError:
        failure = f"cannot use slimtrace_ready_timeout {text}: it is not a number of seconds"
    pytest.fail(failure, pytrace=False)


def _format_error(error: SlimtraceError) -> str:
    return error.message if error.hint is None else f"{error.message}\n{error.hint}"
