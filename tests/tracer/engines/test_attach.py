"""``slimtrace attach``: a running process is traced for a time, then continues unchanged."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import pytest
from requirements import need, need_root
from traces import (
    SECONDS,
    check_failure,
    command,
    decode_text,
    environment,
    make_tree,
    run_slimtrace,
    show,
)

from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.process.process_search import find_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Tracee

SERVER = """
import os, sys, threading, time
held = open("held"); log = open("log", "a"); os.open("sub", os.O_RDONLY)
def work():
    while True:
        os.path.exists("by-thread"); time.sleep(0.01)
threading.Thread(target=work, daemon=True).start()
child = os.fork()
if child == 0:
    while True:
        os.path.exists("by-child"); time.sleep(0.01)
print(child, flush=True)
for line in sys.stdin:
    os.system("cat " + line.strip())
    print("served", flush=True)
os.kill(child, 9)
"""
TREE = {"held": "1", "log": "", "sub/": "", "asked": "answer\n", "by-thread": "", "by-child": ""}


class _Running:
    """A program that runs untraced; the test uses its stdin and stdout."""

    def __init__(self, argv: list[str], directory: str) -> None:
        self.process = subprocess.Popen(
            argv,
            cwd=directory,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
            start_new_session=True,
        )
        self.pid = self.process.pid

    def __enter__(self) -> Self:
        return self

    def read_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self.process.communicate(timeout=SECONDS)


class _Attached:
    """slimtrace attached to a process until :meth:`detach`."""

    def __init__(self, pid: int, trace: str, *options: str) -> None:
        self.trace = trace
        argv = command("attach", str(pid), "-o", trace, *options)
        self.tracer = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, env=environment())
        assert self.tracer.stderr is not None
        assert self.tracer.stderr.readline().startswith(f"slimtrace: attached to {pid}")

    def detach(self, number: int = signal.SIGINT) -> dict[str, str]:
        """Make slimtrace detach; return the recorded paths and uses."""
        self.tracer.send_signal(number)
        _, errors = self.tracer.communicate(timeout=SECONDS)
        assert self.tracer.returncode == 0, errors
        assert "Traceback" not in errors
        return read_touches(self.trace)


def read(name: str) -> str:
    with open(name) as file:
        return file.read()


def wait_until(condition: Callable[[], bool]) -> None:
    for _ in range(int(SECONDS * 100)):
        if condition():
            return
        time.sleep(0.01)
    pytest.fail("the state was not reached")


def read_touches(trace: str) -> dict[str, str]:
    document = show(trace)
    return {
        decode_text(entry, "path"): f"{state} {' '.join(sorted(entry['uses']))}"
        for section, state in (("files", "file"), ("missing", "missing"), ("created", "created"))
        for entry in document[section]
    }


def find_tracer(pid: int) -> int:
    lines = read(f"/proc/{pid}/status").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("TracerPid"))


def read_state(pid: int) -> str:
    return read(f"/proc/{pid}/stat").rpartition(")")[2].split()[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_with_threads_and_children(tmp_path: Path, number: signal.Signals) -> None:
    work = make_tree(str(tmp_path / "work"), TREE)
    with _Running([os.path.realpath(sys.executable), "-c", SERVER], work) as server:
        child = int(server.read_line())
        attached = _Attached(server.pid, str(tmp_path / "app.trace"))
        server.say("asked")
        assert [server.read_line(), server.read_line()] == ["answer", "served"]
        wait_until(
            lambda: "by-thread" in read(attached.trace) and "by-child" in read(attached.trace)
        )
        seen = attached.detach(number)
        expected = {
            work: "file chdir stat",
            f"{work}/held": "file read",
            f"{work}/log": "file write",
            f"{work}/sub": "file list",
            f"{work}/by-thread": "file stat",
            f"{work}/by-child": "file stat",
            f"{work}/asked": "file read",
        }
        assert {path: uses for path, uses in seen.items() if path.startswith(work)} == expected
        loaded = {os.path.basename(path) for path, uses in seen.items() if "read" in uses}
        assert "libc.so.6" in loaded, "the server mapped it at its start"
        document = show(attached.trace)
        (run,) = document["runs"]
        assert (run["complete"], run["exit_status"]) == (False, None)
        assert {gap["kind"] for gap in run["gaps"]} == {"attached"}
        programs = [image["argv"][-1] for image in document["processes"]]
        assert programs == [SERVER, SERVER, "cat asked", "asked"]
        parents = [image["parent"] for image in document["processes"]]
        assert parents == [None, 1, 1, 3]
        # it continues untraced
        assert (find_tracer(server.pid), find_tracer(child)) == (0, 0)
        server.say("asked")
        assert [server.read_line(), server.read_line()] == ["answer", "served"]


@pytest.mark.parametrize("how", ["epoll", "read", "poll", "nanosleep", "semop", "futex"])
def test_attach_during_a_blocking_call(tmp_path: Path, tracee: Tracee, how: str) -> None:
    """The process is seized and detached twice while it waits; the call ends normally."""
    work = make_tree(str(tmp_path / "work"), {"after": ""})
    with _Running([tracee("waits"), work, how], work) as app:
        assert app.read_line() == "waiting"
        for number in range(2):
            _Attached(app.pid, str(tmp_path / f"{number}.trace")).detach()
            assert find_tracer(app.pid) == 0
        last = _Attached(app.pid, str(tmp_path / "last.trace"))
        app.say("")
        assert app.read_line() == "done"
        assert app.process.wait(SECONDS) == 0
        _, output = last.tracer.communicate(timeout=SECONDS)
        assert last.tracer.returncode == 0, output
        assert read_touches(last.trace)[f"{work}/after"] == "file read"
        (image,) = show(last.trace)["processes"]
        assert image["exit_status"] == 0


def test_a_stopped_process_stays_stopped(tmp_path: Path, tracee: Tracee) -> None:
    work = make_tree(str(tmp_path / "work"), {"after": ""})
    with _Running([tracee("waits"), work, "read"], work) as app:
        assert app.read_line() == "waiting"
        app.process.send_signal(signal.SIGSTOP)
        wait_until(lambda: read_state(app.pid) == "T")
        attached = _Attached(app.pid, str(tmp_path / "app.trace"))
        wait_until(lambda: read_state(app.pid) in "tT")
        attached.detach()
        wait_until(lambda: read_state(app.pid) == "T")
        app.process.send_signal(signal.SIGCONT)
        app.say("")
        assert app.read_line() == "done"


def test_a_killed_tracer_leaves_the_process_running(tmp_path: Path, tracee: Tracee) -> None:
    work = make_tree(str(tmp_path / "work"), {"after": ""})
    with _Running([tracee("waits"), work, "read"], work) as app:
        assert app.read_line() == "waiting"
        attached = _Attached(app.pid, str(tmp_path / "app.trace"))
        attached.tracer.kill()
        attached.tracer.communicate(timeout=SECONDS)
        app.say("")
        assert app.read_line() == "done"
        assert app.process.wait(SECONDS) == 0


def test_stop_after(tmp_path: Path, tracee: Tracee) -> None:
    work = make_tree(str(tmp_path / "work"), {"after": ""})
    with _Running([tracee("waits"), work, "read"], work) as app:
        assert app.read_line() == "waiting"
        trace = str(tmp_path / "app.trace")
        done = run_slimtrace("attach", str(app.pid), "-o", trace, "--stop-after", "0.3")
        assert done.returncode == 0, done.stderr
        assert "let go after 0." in run_slimtrace("show", trace).stdout
        assert "warning: the trace may be incomplete: attached" in done.stderr
        assert find_tracer(app.pid) == 0
        again = run_slimtrace(
            "attach", str(app.pid), "-o", trace, "--append", "--stop-after", "0.1"
        )
        assert again.returncode == 0, again.stderr
        assert len(show(trace)["runs"]) == 2


def test_processes_that_cannot_be_attached(tmp_path: Path) -> None:
    trace = str(tmp_path / "app.trace")
    gone = subprocess.Popen(["true"])
    gone.wait()
    check_failure(
        run_slimtrace("attach", str(gone.pid), "-o", trace),
        125,
        f"cannot attach to {gone.pid}: there is no such process",
    )
    check_failure(
        run_slimtrace("attach", "2", "-o", trace),
        125,
        "cannot attach to 2: operation not permitted",
        "allow attaching: ",
    )
    assert not os.path.exists(trace)
    assert run_slimtrace("attach", "x", "-o", trace).returncode == 2
    assert run_slimtrace("attach", "1", "--append", "--force", "-o", trace).returncode == 2


def test_a_process_by_its_name(tmp_path: Path, tracee: Tracee) -> None:
    """Its descendants of the same name are meant with it; two of one name are ambiguous."""
    work = make_tree(str(tmp_path / "work"), {"after": ""})
    name = f"waits-{os.getpid()}"
    shutil.copy(tracee("waits"), tmp_path / name)
    with _Running([str(tmp_path / name), work, "read"], work) as app:
        assert app.read_line() == "waiting"
        assert find_process(name) == app.pid
        assert find_process(str(app.pid)) == app.pid
        done = run_slimtrace("attach", f"{name}x", "-o", str(tmp_path / "x.trace"))
        check_failure(
            done, 2, f"cannot attach to {name}x: no process has this name", "give the PID"
        )
        with _Running([str(tmp_path / name), work, "read"], work) as other:
            assert other.read_line() == "waiting"
            pids = ", ".join(map(str, sorted((app.pid, other.pid))))
            with pytest.raises(UsageError, match=f"several processes have this name: {pids}$"):
                find_process(name)


def test_an_ancestor_of_slimtrace(tmp_path: Path) -> None:
    """It would stop the shell in which it runs."""
    done = run_slimtrace("attach", str(os.getpid()), "-o", str(tmp_path / "x.trace"))
    check_failure(done, 2, f"cannot attach to {os.getpid()}: slimtrace itself and its shell")


def test_a_process_that_is_already_traced(tmp_path: Path, tracee: Tracee) -> None:
    work = make_tree(str(tmp_path / "work"), {"after": ""})
    with _Running([tracee("waits"), work, "read"], work) as app:
        assert app.read_line() == "waiting"
        first = _Attached(app.pid, str(tmp_path / "first.trace"))
        second = run_slimtrace("attach", str(app.pid), "-o", str(tmp_path / "second.trace"))
        what = f"cannot attach to {app.pid}: process {first.tracer.pid} traces it already"
        check_failure(second, 125, what, "end that tracer first")
        first.detach()


def test_another_users_process(tmp_path: Path, unprivileged: tuple[str, ...]) -> None:
    need_root()
    need("sleep")
    tmp_path.chmod(0o777)
    with _Running(["sleep", "1000"], str(tmp_path)) as app:
        done = run_slimtrace(
            "attach", str(app.pid), "-o", "/dev/shm/slimtrace-none.trace", prefix=unprivileged
        )
        check_failure(
            done, 125, f"cannot attach to {app.pid}: operation not permitted", "allow attaching"
        )


LEADERLESS = """
#include <pthread.h>
#include <stdio.h>
#include <fcntl.h>
#include <unistd.h>
static void *work(void *leader)
{
    pthread_join(*(pthread_t *)leader, 0);
    puts("alone");
    fflush(stdout);
    for (;;) {
        close(open("by-thread", O_RDONLY));
        usleep(10000);
    }
}
int main(void)
{
    static pthread_t leader, thread;
    leader = pthread_self();
    pthread_create(&thread, 0, work, &leader);
    pthread_exit(0);
}
"""
ZOMBIE = """
import os, time
os.waitid(os.P_PID, os.posix_spawn("/bin/true", ["true"], {}), os.WEXITED | os.WNOWAIT)
print("buried none", flush=True)
while True:
    os.path.exists("by-thread"); time.sleep(0.01)
"""


def test_a_process_whose_leader_has_ended(tmp_path: Path) -> None:
    need("gcc")
    work = make_tree(str(tmp_path / "work"), {"by-thread": "", "leaderless.c": LEADERLESS})
    subprocess.run(["gcc", "-pthread", "leaderless.c", "-o", "leaderless"], cwd=work, check=True)
    with _Running([f"{work}/leaderless"], work) as app:
        assert app.read_line() == "alone"
        wait_until(lambda: read_state(app.pid) == "Z")
        attached = _Attached(app.pid, str(tmp_path / "app.trace"))
        wait_until(lambda: "by-thread" in read(attached.trace))
        assert attached.detach()[f"{work}/leaderless"] == "file exec read"


def test_a_process_with_a_child_that_it_has_not_waited_for(tmp_path: Path) -> None:
    work = make_tree(str(tmp_path / "work"), {"by-thread": ""})
    with _Running([sys.executable, "-c", ZOMBIE], work) as app:
        assert app.read_line() == "buried none"
        attached = _Attached(app.pid, str(tmp_path / "app.trace"))
        wait_until(lambda: "by-thread" in read(attached.trace))
        attached.detach()
        assert len(show(attached.trace)["processes"]) == 1
