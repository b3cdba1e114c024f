"""Fixtures: the command line, a traced run, and the compiled tracees."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Protocol

import pytest

pytest.register_assert_rewrite("hazards", "traces")

from docker_daemon import run_docker_daemon  # noqa: E402
from registry import run_registry  # noqa: E402
from repository import TRACEES  # noqa: E402
from requirements import need, skip_missing  # noqa: E402
from traces import Traced, environment, make_tree, run_slimtrace, show  # noqa: E402
from umoci_images import make_debian_image  # noqa: E402

from slimtrace.tracer.engines.choice import AUTO, ENGINES  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from docker_daemon import DockerDaemon

# A parent that starts pytest in the background may ignore these signals (nohup, `&` in sh).
# Ignored signals stay ignored across exec, so the programs under test would inherit that.
for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        handler = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, handler)


class Tracee(Protocol):
    def __call__(self, name: str, *flags: str) -> str: ...


class Trace(Protocol):
    def __call__(
        self,
        argv: Sequence[str],
        *options: str,
        tree: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        stdin: str | None = None,
    ) -> Traced: ...


@pytest.fixture
def slimtrace() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command line: ``slimtrace("show", "x.trace")``."""
    return run_slimtrace


def pytest_configure(config: pytest.Config) -> None:
    """Give each test session a temporary folder of its own, unless ``--basetemp`` names one.

    All sessions of a user share pytest's default, and each start closes it to other users again.
    """
    if config.option.basetemp is None:  # xdist gives its workers a part of ours
        folder = tempfile.mkdtemp(prefix="pytest-")
        os.chmod(folder, 0o755)  # noqa: S103 -- programs of ordinary users are started in it
        config.option.basetemp = os.path.join(folder, "pytest-0")
        config.add_cleanup(lambda: _remove_folder(folder))
        # The key by which traces are known again; not that of whoever runs the tests.
        os.environ["XDG_STATE_HOME"] = os.path.join(folder, "state")


def _remove_folder(folder: str) -> None:
    with open("/proc/self/mountinfo") as file:
        if f" {folder}/" not in file.read():  # a failed test may leave a mount of other files
            shutil.rmtree(folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first: late, they would keep one core busy and the others idle."""
    items.sort(key=lambda item: "/tests/samples/" not in str(item.path))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run every hazard test under every engine, unless the test lists engines itself."""
    if not metafunc.module.__name__.startswith("test_hazards"):
        return
    marks = metafunc.definition.iter_markers("parametrize")
    if "engine" in metafunc.fixturenames and not any("engine" in mark.args[0] for mark in marks):
        metafunc.parametrize("engine", ENGINES)


@pytest.fixture
def engine() -> str:
    """The engine that traces system calls."""
    return AUTO


@pytest.fixture
def traced(tmp_path: Path, engine: str) -> Trace:
    """Run a command under slimtrace in a directory ``work`` that contains a tree."""

    def trace(
        argv: Sequence[str],
        *options: str,
        tree: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        stdin: str | None = None,
    ) -> Traced:
        directory = make_tree(str(tmp_path / "work"), tree or {})
        output = str(tmp_path / "app.trace")
        done = run_slimtrace(
            *("-q", "run", "-o", output, "--engine", engine, *options, "--", *argv),
            cwd=directory,
            prefix=prefix,
            stdin=stdin,
        )
        assert "Traceback" not in done.stderr, done.stderr
        assert os.path.exists(output), done.stderr
        return Traced(done.returncode, done.stdout, done.stderr, output, directory, show(output))

    return trace


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """``HOST:PORT`` of a registry that skopeo trusts."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    with run_registry(tmp_path) as address:
        yield address


@pytest.fixture(scope="session")
def docker_daemon() -> Iterator[DockerDaemon]:
    """A Docker daemon, one for each worker that has a test for it."""
    with run_docker_daemon() as daemon:
        yield daemon


@pytest.fixture
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A cache of full images for this test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return str(tmp_path / "cache/slimtrace")


@pytest.fixture(scope="session")
def unprivileged() -> tuple[str, ...]:
    """The argv prefix that runs a command as an ordinary user.

    If only root can read the Python interpreter, the prefix keeps CAP_DAC_READ_SEARCH. This
    capability gives a tracer nothing.
    """
    if os.geteuid() != 0:
        return ()
    need("setpriv")
    bare = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    reading = (*bare, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search")
    for prefix in (bare, reading):
        argv = [*prefix, sys.executable, "-c", "import slimtrace.main, ssl"]
        if subprocess.run(argv, check=False, cwd="/", capture_output=True).returncode == 0:
            return prefix
    return skip_missing("an interpreter that other users may run")


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory that all pytest-xdist workers share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(scope="session")
def full(shared: Path) -> str:
    """The full image ``oci:DIR:TAG`` of Debian with real apps, built once for all workers."""
    return make_debian_image(shared)


@pytest.fixture(scope="session")
def cached(shared: Path) -> dict[str, str]:
    """The environment for runs in images, with one image cache for all tests."""
    return {**environment(), "XDG_CACHE_HOME": str(shared / "cache")}


@pytest.fixture(scope="session")
def tracee(shared: Path) -> Tracee:
    """Compile the program tests/tracees/NAME.c, once for all workers."""

    def compile_tracee(name: str, *flags: str) -> str:
        need("gcc")
        program = str(shared / "-".join(("tracee", name, *flags)))
        if not os.path.exists(program):
            part = f"{program}.{os.getpid()}"
            gcc = ["gcc", "-O1", "-Wall", "-Werror", "-pthread", *flags]
            argv = [*gcc, "-o", part, os.path.join(TRACEES, f"{name}.c")]
            done = subprocess.run(argv, check=False, capture_output=True, text=True)
            if done.returncode != 0 and "-m32" in flags:
                skip_missing("gcc -m32")
            assert done.returncode == 0, done.stderr
            os.rename(part, program)  # replaces another worker's copy atomically
        return program

    return compile_tracee
