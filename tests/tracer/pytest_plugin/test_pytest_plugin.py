"""The pytest plugin: real test sessions in a project with a small web service."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import psutil
import pytest
from repository import ROOT
from requirements import skip_missing
from traces import SECONDS, environment, make_tree, run_slimtrace

from slimtrace.tracer.pytest_plugin.session_trace import begin_session
from slimtrace.tracer.trace.reader import read_trace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from slimtrace.tracer.trace.trace import Trace

PYTHON = os.path.realpath(sys.executable)
INSTALLED = [found.value for found in entry_points(group="pytest11", name="slimtrace")]
LOAD = [] if INSTALLED else ["-p", "slimtrace.tracer.pytest_plugin.plugin"]
# Serves its folder; writes its process ID and that of a child; ignores SIGTERM on demand.
APP = """
import http.server, os, pathlib, signal, subprocess, sys
print("app begins", flush=True)
child = subprocess.Popen(["sleep", "1000"], start_new_session=True)
def end(number, frame):
    child.terminate()
    sys.exit(0)
signal.signal(signal.SIGTERM, signal.SIG_IGN if os.environ.get("DEAF") else end)
pathlib.Path(f"pid.{os.getpid()}").write_text(f"{os.getpid()} {child.pid}")
address = "127.0.0.1", int(os.environ.get("PORT") or sys.argv[1])
http.server.ThreadingHTTPServer(address, http.server.SimpleHTTPRequestHandler).serve_forever()
"""
SETTINGS = f"""
[pytest]
filterwarnings = error
addopts = --strict-markers --strict-config
slimtrace_command = {PYTHON} -I app.py {{port}}
slimtrace_ready = http://127.0.0.1:{{port}}/page
"""
USES_URL = """
import urllib.request
def test_page(slimtrace_url):
    assert urllib.request.urlopen(slimtrace_url + "/page").read() == b"page"
def test_again(slimtrace_url):
    assert urllib.request.urlopen(slimtrace_url + "/again").read() == b"again"
"""
STARTS = f"""
import urllib.request
from pathlib import Path
import pytest
APP = [{PYTHON!r}, "-I", "app.py"]
HTTP = "http://127.0.0.1:{{port}}/"
def get(service, path):
    return urllib.request.urlopen(service.url + path).read().decode()
"""


class Project:
    """A project folder with tests, and the way they are run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def argv(self, *options: str) -> list[str]:
        return [sys.executable, "-m", "pytest", *LOAD, "-v", *options]

    def environment(self, **changes: str) -> dict[str, str]:
        ours = {"PYTHONPATH": ROOT, "PYTEST_ADDOPTS": "-p no:cacheprovider", **changes}
        own = {key: value for key, value in environment().items() if not key.startswith("PYTEST")}
        return own | ours

    def run(self, *options: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(*options),
            check=False,
            cwd=self.folder,
            env=self.environment(**changes),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def trace(self, name: str = "app.trace") -> Trace:
        return read_trace(str(self.folder / name))

    def touched(self, name: str = "app.trace") -> set[str]:
        """Return the project's paths in its traces, except the app's files of process IDs."""
        top = f"{self.folder}/"
        paths = read_trace(str(self.folder / name)).paths
        found = {path.removeprefix(top) for path in paths if path.startswith(top)}
        return {path for path in found if not path.startswith("pid.")}

    def files(self) -> list[str]:
        """Return the new files of the project, except the app's files of process IDs."""
        began = {"app.py", "page", "again", "other", "pytest.ini", "test_it.py", "__pycache__"}
        return sorted(
            name
            for name in os.listdir(self.folder)
            if name not in began and not name.startswith("pid.")
        )

    def processes(self) -> list[int]:
        """Return the process IDs of all started apps."""
        notes = [path.read_text().split() for path in self.folder.glob("pid.*")]
        return [int(pid) for note in notes for pid in note]

    def living(self) -> list[int]:
        """Return the process IDs that still run; the kernel may take a moment to end some."""
        gone = time.monotonic() + 60
        while (found := list(filter(_lives, self.processes()))) and time.monotonic() < gone:
            time.sleep(0.02)
        return found


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _project(folder: Path, tests: str, settings: str = SETTINGS, **more: str) -> Project:
    tree = {"app.py": APP, "page": "page", "again": "again", "other": "other"}
    make_tree(str(folder), {**tree, "pytest.ini": settings, "test_it.py": tests, **more})
    return Project(folder)


def _starts(*lines: str) -> str:
    return STARTS + textwrap.dedent("\n".join(lines))


def _outcomes(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Return the counts of the last line: ``{"passed": 2}``."""
    last = done.stdout.splitlines()[-1] if done.stdout else ""
    return {word: int(count) for count, word in re.findall(r"(\d+) (passed|failed|error)", last)}


def _summary(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line for line in done.stdout.splitlines() if line.startswith("slimtrace: ")]


def test_an_untraced_service_is_the_same(tmp_path: Path) -> None:
    project = _project(tmp_path, USES_URL)
    done = project.run()
    assert _outcomes(done) == {"passed": 2}, done.stdout
    assert (project.files(), _summary(done)) == ([], [])
    assert len(project.processes()) == 2
    assert project.living() == []


def test_a_session_writes_the_trace_of_its_service(tmp_path: Path) -> None:
    project = _project(tmp_path, USES_URL)
    done = project.run("--slimtrace=app.trace")
    assert _outcomes(done) == {"passed": 2}, done.stdout
    assert _summary(done) == [
        "slimtrace: wrote app.trace (1 run); next: slimtrace build app.trace -o app.tar"
    ]
    assert project.files() == ["app.trace"]
    assert project.touched() == {"app.py", "page", "again"}
    trace = project.trace()
    assert not [path for path in trace.paths if "pytest" in path.removeprefix(str(tmp_path))]
    (run,) = trace.runs
    assert (run.complete, run.exit_status, run.cwd) == (True, 0, str(tmp_path))
    assert project.living() == []


def test_the_trace_builds_what_passes_the_tests(tmp_path: Path) -> None:
    project = _project(tmp_path / "project", USES_URL)
    assert project.run("--slimtrace", "app.trace").returncode == 0
    tree = tmp_path / "tree"
    arguments = ("build", str(project.folder / "app.trace"), "-o", f"rootfs:{tree}")
    done = run_slimtrace(*arguments)
    assert done.returncode == 0, done.stderr
    inside = tree / str(project.folder).lstrip("/")
    assert sorted(os.listdir(inside)) == ["again", "app.py", "page"]
    assert not [path for path in tree.rglob("*pytest*") if path not in inside.parents]
    image = f"slimtrace_image = rootfs:{tree}\nslimtrace_options = --workdir {project.folder}\n"
    (project.folder / "pytest.ini").write_text(SETTINGS + image)
    for options in ([], ["--slimtrace=slim.trace"]):
        done = project.run(*options)
        assert _outcomes(done) == {"passed": 2}, done.stdout
    assert project.trace("slim.trace").runs[0].image == f"rootfs:{tree}"
    assert project.touched("slim.trace") >= {"app.py", "page", "again"}
    assert project.files() == ["app.trace", "slim.trace"]


def test_all_services_of_a_session_are_in_its_trace(tmp_path: Path) -> None:
    """With arguments, a port in the environment, another folder, and only a port."""
    tests = _starts(
        "def test_two(slimtrace_service):",
        "    one = slimtrace_service([*APP, '{port}'], ready=HTTP + 'page')",
        "    two = slimtrace_service(APP, ready='tcp:{port}', env={'PORT': '{port}'})",
        "    assert two.url == f'tcp://127.0.0.1:{two.port}' and one.port != two.port",
        "    assert one.url == f'http://{one.host}:{one.port}'",
        "    assert one.process.poll() is None and two.process.poll() is None",
        "    assert get(one, '/page') == 'page' and 'app begins' in Path(one.log).read_text()",
        "def test_elsewhere(slimtrace_service):",
        "    words = ' '.join([APP[0], '../app.py', '{port}'])",
        "    assert get(slimtrace_service(words, ready=HTTP, cwd='sub'), '/deep') == 'deep'",
    )
    project = _project(tmp_path, tests, **{"sub/deep": "deep"})
    done = project.run("--slimtrace=app.trace")
    assert _outcomes(done) == {"passed": 2}, done.stdout
    (output,) = _summary(done)
    assert "(3 runs)" in output
    assert project.touched() >= {"app.py", "page", "sub/deep"}
    assert "other" not in project.touched()
    runs = read_trace(str(tmp_path / "app.trace")).runs
    assert sorted(run.cwd for run in runs) == [str(tmp_path), str(tmp_path), f"{tmp_path}/sub"]
    assert len(project.processes()) == 4, "two services in its folder"
    assert project.living() == []


def test_xdist_workers_have_their_own_services(tmp_path: Path) -> None:
    tests = """
    import os, urllib.request
    def test_page(slimtrace_url):
        assert urllib.request.urlopen(slimtrace_url + "/page").read() == b"page"
    """
    two = {name: textwrap.dedent(tests) for name in ("test_it.py", "test_more.py")}
    two["test_more.py"] = two["test_more.py"].replace("page", "again")
    project = _project(tmp_path, two["test_it.py"], **{"test_more.py": two["test_more.py"]})
    done = project.run("--slimtrace=app.trace", "-n", "2", "--dist", "loadfile")
    assert _outcomes(done) == {"passed": 2}, done.stdout
    (output,) = _summary(done)
    assert "(2 runs)" in output
    assert project.touched() == {"app.py", "page", "again"}
    assert project.files() == ["app.trace", "test_more.py"]
    assert len(project.processes()) == 4
    assert project.living() == []


def test_an_older_trace_is_replaced(tmp_path: Path) -> None:
    project = _project(tmp_path, USES_URL)
    project.run("--slimtrace=app.trace")
    done = project.run("--slimtrace=app.trace", "-k", "page")
    assert "(1 run)" in _summary(done)[0]
    assert project.touched() == {"app.py", "page"}


def test_append_adds_to_an_older_trace(tmp_path: Path) -> None:
    project = _project(tmp_path, USES_URL)
    for test in ("page", "again"):
        done = project.run("--slimtrace=app.trace", "--slimtrace-append", "-k", f"test_{test}")
    (output,) = _summary(done)
    assert "(2 runs)" in output
    assert project.touched() == {"app.py", "page", "again"}


def test_collection_keeps_an_older_trace(tmp_path: Path) -> None:
    project = _project(tmp_path, USES_URL)
    project.run("--slimtrace=app.trace")
    project.run("--slimtrace=app.trace", "--collect-only")
    assert project.touched() == {"app.py", "page", "again"}


def test_a_session_without_services_writes_nothing(tmp_path: Path) -> None:
    project = _project(tmp_path, "def test_nothing(): pass")
    done = project.run("--slimtrace=app.trace")
    assert _summary(done) == ["slimtrace: wrote no app.trace: no service was started"]
    assert (done.returncode, project.files()) == (0, [])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--slimtrace", "test_it.py"], "cannot write {}/test_it.py: it exists and is not a trace"),
        (["--slimtrace=no/app.trace"], "cannot write {}/no/app.trace: No such file or directory"),
        (["--slimtrace-append"], "cannot use --slimtrace-append without --slimtrace=TRACE"),
    ],
)
def test_invalid_options(tmp_path: Path, options: Sequence[str], said: str) -> None:
    project = _project(tmp_path, USES_URL)
    done = project.run(*options)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert said.format(tmp_path) in done.stderr
    assert (tmp_path / "test_it.py").read_text() == USES_URL
    assert project.files() == []


def test_two_sessions_do_not_write_one_trace(tmp_path: Path) -> None:
    project = _project(tmp_path, USES_URL)
    lock = begin_session(f"{tmp_path}/app.trace", append=False)
    try:
        done = project.run("--slimtrace=app.trace")
    finally:
        os.close(lock)
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "app.trace: another session of tests is writing it" in done.stderr
    assert project.run("--slimtrace=app.trace").returncode == 0, "a killed session's files"
    assert project.files() == ["app.trace"]


TRACED = pytest.mark.parametrize("options", [[], ["--slimtrace=app.trace"]], ids=["bare", "traced"])


@TRACED
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (
            "['sh', '-c', 'echo alas; exit 7'], ready=HTTP",
            ["cannot start sh -c 'echo alas; exit 7': it ended with exit status 7", "  alas"],
        ),
        (
            "['no-such-app'], ready=HTTP",
            ["cannot start no-such-app: it ended with exit status 127", "not on the PATH"],
        ),
        (
            "[*APP, '{port}'], ready=HTTP + 'page', cwd='/'",
            ["app.py", "it ended with exit status 2 before it was ready", "No such file"],
        ),
        (
            "['sh', '-c', 'echo waits; exec sleep 1000'], ready=HTTP, ready_timeout=3",
            ["cannot start sh -c", "did not answer in 3 s", "  waits"],
        ),
        ("APP, ready=HTTP, cwd='no'", ["app.py: ", "/no: No such file or directory"]),
        ("'', ready=HTTP", ["cannot start a service: there is no command"]),
        ("APP, ready='3'", ["cannot wait for a service by 3: it has no address"]),
        ("APP, ready='soon'", ["cannot use --ready soon: it is no http(s) URL"]),
    ],
)
def test_a_service_that_does_not_start(
    tmp_path: Path, options: Sequence[str], call: str, said: Sequence[str]
) -> None:
    tests = _starts(
        *("@pytest.fixture", "def service(slimtrace_service):"),
        f"    return slimtrace_service({call})",
        "def test_it(service): pass",
    )
    project = _project(tmp_path, tests)
    done = project.run(*options)
    assert _outcomes(done) == {"error": 1}, done.stdout
    for line in said:
        assert line in done.stdout
    assert "Traceback" not in done.stdout
    assert project.living() == []


@TRACED
def test_missing_settings(tmp_path: Path, options: Sequence[str]) -> None:
    project = _project(tmp_path, USES_URL, settings="[pytest]\n")
    done = project.run(*options)
    assert _outcomes(done) == {"error": 2}, done.stdout
    assert "set slimtrace_command and slimtrace_ready" in done.stdout


@TRACED
def test_a_server_that_answers_before_the_service_started(
    tmp_path: Path, options: Sequence[str]
) -> None:
    tests = _starts(
        "def test_it(slimtrace_service):",
        "    first = slimtrace_service([*APP, '{port}'], ready=HTTP)",
        "    slimtrace_service([*APP, str(first.port)], ready=first.url + '/page')",
    )
    project = _project(tmp_path, tests)
    done = project.run(*options)
    assert _outcomes(done) == {"failed": 1}, done.stdout
    assert "answers already, before it was started" in done.stdout
    assert project.living() == []


@TRACED
def test_a_service_that_exits_during_a_test(tmp_path: Path, options: Sequence[str]) -> None:
    tests = _starts(
        "import os, signal",
        "def test_it(slimtrace_service):",
        "    service = slimtrace_service([*APP, '{port}'], ready=HTTP)",
        "    for note in Path().glob('pid.*'):",
        "        for pid in note.read_text().split():",
        "            os.kill(int(pid), signal.SIGKILL)",
        "    service.process.wait(60)",
    )
    project = _project(tmp_path, tests)
    done = project.run(*options)
    assert _outcomes(done) == {"passed": 1, "error": 1}, done.stdout
    assert "it ended with exit status 137 while it was tested" in done.stdout
    assert "  app begins" in done.stdout


@TRACED
def test_a_service_that_ignores_the_stop_signal(tmp_path: Path, options: Sequence[str]) -> None:
    """The service is killed, and its trace is complete."""
    tests = _starts(
        "def test_it(slimtrace_service):",
        "    slimtrace_service([*APP, '{port}'], ready=HTTP, env={'DEAF': '1'})",
        "    assert False",
    )
    project = _project(tmp_path, tests)
    done = project.run(*options)
    assert _outcomes(done) == {"failed": 1}, done.stdout
    assert len(project.processes()) == 2
    assert project.living() == []
    if options:
        (run,) = project.trace().runs
        assert (run.complete, run.signal) == (True, signal.SIGKILL)


@TRACED
def test_a_service_outlives_the_thread_that_started_it(
    tmp_path: Path, options: Sequence[str]
) -> None:
    tests = _starts(
        "import concurrent.futures, time",
        "def test_it(slimtrace_service):",
        "    with concurrent.futures.ThreadPoolExecutor(1) as pool:",
        "        words = [*APP, '{port}']",
        "        service = pool.submit(slimtrace_service, words, ready=HTTP + 'page').result()",
        "    time.sleep(0.3)",
        "    assert get(service, '/page') == 'page'",
    )
    project = _project(tmp_path, tests)
    done = project.run(*options)
    assert _outcomes(done) == {"passed": 1}, done.stdout
    assert project.living() == []


@pytest.fixture
def waiting(tmp_path: Path) -> Project:
    """Make tests that wait forever after their service has started."""
    tests = _starts(
        "import time",
        "def test_it(slimtrace_url):",
        "    open('waits', 'w').close()",
        "    time.sleep(1000)",
    )
    return _project(tmp_path, tests)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("workers", [[], ["-n", "1"]], ids=["alone", "xdist"])
@TRACED
def test_an_interrupted_session_leaves_no_process(
    waiting: Project, options: Sequence[str], workers: Sequence[str], number: signal.Signals
) -> None:
    argv = waiting.argv(*options, *workers)
    with subprocess.Popen(
        argv,
        cwd=waiting.folder,
        env=waiting.environment(),
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    ) as session:
        deadline = time.monotonic() + SECONDS
        while not (waiting.folder / "waits").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(session.pid, number)  # as a terminal does for Ctrl-C
        output = session.communicate(timeout=SECONDS)[0]
    assert len(waiting.processes()) == 2
    assert waiting.living() == []
    if number == signal.SIGINT:
        assert session.returncode == pytest.ExitCode.INTERRUPTED
        assert ("wrote app.trace (1 run)" in output) == bool(options)


def test_an_unused_plugin_changes_nothing(tmp_path: Path) -> None:
    """Only the plugin's module of slimtrace is loaded, in less than 3 ms."""
    tests = """
    import sys
    def test_modules():
        ours = {name for name in sys.modules if name.partition(".")[0] in OURS}
        assert ours == {
            "slimtrace",
            "slimtrace.tracer",
            "slimtrace.tracer.pytest_plugin",
            "slimtrace.tracer.pytest_plugin.plugin",
        }
    OURS = ("slimtrace", "psutil", "orjson", "ptrace", "typer")
    """
    project = _project(tmp_path, textwrap.dedent(tests))
    done = project.run()
    assert _outcomes(done) == {"passed": 1}, done.stdout
    assert project.files() == []
    script = (
        "import pytest, time; began = time.perf_counter();"
        "import slimtrace.tracer.pytest_plugin.plugin; print(time.perf_counter() - began)"
    )
    argv = [sys.executable, "-c", script]
    compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path / "cache")}
    costs = [_seconds(argv, project.environment(**compiled)) for _ in range(5)]
    assert min(costs) < 0.003


def _seconds(argv: Sequence[str], env: Mapping[str, str]) -> float:
    done = subprocess.run(argv, check=True, env=env, capture_output=True, timeout=SECONDS)
    return float(done.stdout)


def test_the_help_has_a_group_of_options(tmp_path: Path) -> None:
    done = _project(tmp_path, "").run("--help")
    assert "slimtrace: services of tests, traced:\n  --slimtrace=TRACE" in done.stdout
    assert "\n  slimtrace_command (args):" in done.stdout


def test_pytest_finds_the_plugin() -> None:
    if not INSTALLED:
        skip_missing("slimtrace, installed with its plugin (make lint)")
    assert INSTALLED == ["slimtrace.tracer.pytest_plugin.plugin"]
