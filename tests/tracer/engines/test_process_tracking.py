"""Start, exec and exit of real processes, as each engine's process tracker records them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import engine_run
import pytest
from engine_run import RUN
from traces import SECONDS

from slimtrace.tracer.decode.decoder import Decoder
from slimtrace.tracer.engines import signals
from slimtrace.tracer.engines.choice import ENGINES
from slimtrace.tracer.engines.notify.pidfds import EXIT_STATUS_SINCE, MIN_PIDFDS
from slimtrace.tracer.engines.ptrace.ptrace_loop import PtraceLoop
from slimtrace.tracer.engines.ptrace.stops import (
    PtraceEvent,
    SignalDelivery,
    Stop,
    decode_exit_status,
    decode_status,
)
from slimtrace.tracer.kernel import ptrace
from slimtrace.tracer.platform import kernel_version
from slimtrace.tracer.record.recorder import Recorder
from slimtrace.tracer.result import ExitStatus
from slimtrace.tracer.trace.reader import read_trace
from slimtrace.tracer.trace.writer import TraceWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from conftest import Tracee

    from slimtrace.tracer.trace.trace import Trace

# pytest-xdist's workers have threads; a process forked here execs at once.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
SHELL = str(shutil.which("sh"))


@contextmanager
def recorded(folder: Path) -> Iterator[tuple[Recorder, list[Trace]]]:
    """Yield a recorder; after the block, the list contains its trace."""
    writer = TraceWriter(str(folder / "x.trace"))
    writer.write_run(RUN)
    recorder = Recorder(writer, 0, 1)
    traces: list[Trace] = []
    try:
        yield recorder, traces
        recorder.flush()
        writer.write_end(RUN)
        traces.append(read_trace(str(folder / "x.trace")))
    finally:
        writer.close()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return the programs' working directory, and block signals as in a run."""
    (tmp_path / "work").mkdir()
    for name in ("child", "parent", "early", "late", "before", "after", "after the leader"):
        (tmp_path / "work" / name).touch()
    monkeypatch.chdir(tmp_path / "work")
    mask = signals.block_signals()
    yield tmp_path / "work"
    signals.restore_mask(mask)


class Image(NamedTuple):
    """A process image: its last argument, the last argument of its parent, and its exit status."""

    argument: str
    parent: str | None
    exit_status: int | None


class Tracked(NamedTuple):
    images: list[Image]
    users: dict[str, list[str]]
    """Map each file of the working directory to the last arguments of the images that used it."""
    exit_status: ExitStatus | None


def track(engine: str, argv: Sequence[str], folder: Path) -> Tracked:
    """Run a command under an engine."""
    file = folder.parent / "engine.trace"
    done = subprocess.run(
        [sys.executable, engine_run.__file__, engine, str(file), *argv],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=SECONDS,
    )
    status, trace = json.loads(done.stdout.splitlines()[-1]), read_trace(str(file))
    arguments = {image.id: image.argv[-1] for image in trace.processes}
    images = [
        Image(image.argv[-1], arguments.get(image.parent or 0), image.exit_status)
        for image in trace.processes
    ]
    users = {
        os.path.basename(name): sorted(arguments[key] for key in path.processes)
        for name, path in trace.paths.items()
        if os.path.dirname(name) == str(folder)
    }
    return Tracked(images, users, None if status is None else ExitStatus(*status))


@pytest.mark.parametrize("engine", ENGINES)
class TestEveryEngine:
    """The same processes give the same tree under every engine."""

    def test_a_fork_without_an_exec_has_the_parents_image(self, engine: str, work: Path) -> None:
        script = "(read line <child; exit 7); read line <parent; exit 3"
        tracked = track(engine, [SHELL, "-c", script], work)
        assert tracked.images == [Image(script, None, 3)]
        assert (tracked.users["child"], tracked.users["parent"]) == ([script], [script])
        assert tracked.exit_status == ExitStatus(3, None)

    def test_a_child_keeps_its_image_when_its_parent_executes(
        self, engine: str, work: Path
    ) -> None:
        """The child opens a file before the exec and one after it; pipes keep the order."""
        os.mkfifo("to-child")
        os.mkfifo("to-parent")
        second = "read line <after; echo >&3; read line <&4"
        child = "read line <early; echo >&4; read line <&3; read line <late; echo >&4"
        script = (
            f"exec 3<>to-child 4<>to-parent; ({child}) & "
            f"read line <&4; read line <before; exec {SHELL} -c '{second}'"
        )
        tracked = track(engine, [SHELL, "-c", script], work)
        assert [(image.argument, image.parent) for image in tracked.images] == [
            (script, None),
            (second, script),
        ]
        assert (tracked.users["early"], tracked.users["late"]) == ([script], [script])
        assert (tracked.users["before"], tracked.users["after"]) == ([script], [second])

    def test_an_exec_makes_an_image(self, engine: str, work: Path) -> None:
        last = "read line <after; exit 4"
        script = f"read line <before; exec {SHELL} -c '{last}'"
        tracked = track(engine, [SHELL, "-c", script], work)
        assert tracked.images == [Image(script, None, None), Image(last, script, 4)]
        assert (tracked.users["before"], tracked.users["after"]) == ([script], [last])

    def test_an_exec_by_a_thread(self, engine: str, work: Path, tracee: Tracee) -> None:
        tracked = track(engine, [tracee("thread_exec"), "."], work)
        assert tracked.images == [Image(".", None, None), Image("second", ".", 0)]
        assert (tracked.users["before"], tracked.users["after"]) == (["."], ["second"])

    def test_an_exec_by_a_vfork_child(self, engine: str, work: Path, tracee: Tracee) -> None:
        tracked = track(engine, [tracee("vfork_exec"), "."], work)
        assert tracked.images == [Image(".", None, 0), Image("child", ".", 0)]
        assert (tracked.users["child"], tracked.users["parent"]) == (["child"], ["."])

    def test_an_exec_that_fails(self, engine: str, work: Path) -> None:
        script = "(exec ./after); read line <before; exit 6"
        tracked = track(engine, [SHELL, "-c", script], work)
        assert tracked.images == [Image(script, None, 6)]
        assert tracked.users["before"] == [script]

    def test_an_exec_of_a_real_program_that_fails(
        self, engine: str, work: Path, tracee: Tracee
    ) -> None:
        """Its arguments are too long: the caller runs on as the image that it was."""
        program = tracee("exec_fails")
        tracked = track(engine, [program, "."], work)
        assert tracked.images == [Image(".", None, 0), Image(program, ".", 0)]
        assert tracked.users["after"] == ["."]

    def test_new_arguments_after_an_exec_that_failed(
        self, engine: str, work: Path, tracee: Tracee
    ) -> None:
        """After its next call, nothing makes the exec look as if it had succeeded."""
        tracked = track(engine, [tracee("new_arguments"), "."], work)
        assert tracked.images == [Image(".", None, 0)]
        assert (tracked.users["before"], tracked.users["after"]) == (["."], ["."])

    def test_a_child_that_outlives_its_parent(self, engine: str, work: Path) -> None:
        """The child waits on a pipe that the parent's exit closes, then exits."""
        child = "read line; exit 9"
        script = f"mkfifo pipe; {SHELL} -c '{child}' <pipe & exec >pipe; exit 2"
        tracked = track(engine, [SHELL, "-c", script], work)
        ends = {image.argument: image.exit_status for image in tracked.images}
        assert (ends[script], ends[child]) == (2, 9)
        assert {image.parent for image in tracked.images[1:]} == {script}
        assert tracked.exit_status == ExitStatus(2, None)

    def test_a_daemon_belongs_to_the_image_that_forked_it(
        self, engine: str, work: Path, tracee: Tracee
    ) -> None:
        tracked = track(engine, [tracee("daemon"), "."], work)
        assert tracked.images == [Image(".", None, 3)]
        assert (tracked.users["early"], tracked.users["late"]) == (["."], ["."])

    def test_a_leader_that_ends_before_its_thread(
        self, engine: str, work: Path, tracee: Tracee
    ) -> None:
        tracked = track(engine, [tracee("leader_exits_first"), "."], work)
        assert tracked.images == [Image(".", None, 5)]
        assert (tracked.users["before"], tracked.users["after the leader"]) == (["."], ["."])

    def test_a_signal_ends_a_process(self, engine: str, work: Path) -> None:
        if engine == "notify" and kernel_version() < EXIT_STATUS_SINCE:
            pytest.skip("missing here: Linux 6.15")
        child = "kill -KILL $$"
        script = f"{SHELL} -c '{child}'; kill -TERM $$"
        tracked = track(engine, [SHELL, "-c", script], work)
        assert tracked.images == [Image(script, None, 143), Image(child, script, 137)]
        assert tracked.exit_status == ExitStatus(143, signal.SIGTERM)


# The ptrace loop


def seized(argv: Sequence[str]) -> tuple[int, Callable[[], None]]:
    """Yield a child that was seized before its exec, and a function that starts the exec."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(write_end)
            os.read(read_end, 1)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.execv(argv[0], [*argv])  # noqa: S606
        finally:
            os._exit(127)
    os.close(read_end)
    ptrace.seize(pid, ptrace.FOLLOW | ptrace.MARK_CALL_STOPS | ptrace.KILL_WITH_TRACER)
    ptrace.interrupt(pid)
    return pid, lambda: os.close(write_end)


class Followed(NamedTuple):
    pid: int
    loop: PtraceLoop
    callers: list[tuple[int, int | None]]
    """The thread and its image for each stop at a call."""
    processes: set[int]


def follow(argv: Sequence[str], folder: Path) -> Followed:
    """Run a command under a ptrace loop that stops at each call."""
    callers: list[tuple[int, int | None]] = []
    processes: set[int] = set()
    with recorded(folder.parent) as (recorder, _):
        loop = PtraceLoop(every_call=True)
        pid, execute = seized(argv)
        loop.add_process(pid, 0)

        def handle(tid: int) -> None:
            callers.append((tid, loop.images.get(tid)))
            assert loop.find_image(tid) == loop.images.get(tid)
            processes.update(loop.list_processes())
            loop.resume(tid)

        loop.begin(recorder, Decoder(recorder).execs, handle)
        assert loop.is_unexecuted(pid)
        execute()
        loop.loop()
        assert not loop.is_unexecuted(pid)
    return Followed(pid, loop, callers, processes)


def test_each_call_after_the_exec_has_an_image(work: Path) -> None:
    followed = follow([SHELL, "-c", "(exit 5); (exit 6); exit 4"], work)
    by_thread: dict[int, set[int | None]] = {}
    for tid, image in followed.callers:
        by_thread.setdefault(tid, set()).add(image)
    app = by_thread.pop(followed.pid)
    assert app == {None, 1}, "there must be no image before the exec"
    assert [*by_thread.values()] == [{1}, {1}]
    assert followed.processes == {followed.pid, *by_thread}
    assert followed.loop.read_exit_status() == ExitStatus(4, None)


def test_ended_threads_are_forgotten(work: Path, tracee: Tracee) -> None:
    followed = follow([tracee("thread_exec"), "."], work)
    assert not followed.loop.has_tracees
    assert followed.loop.images == {}
    assert [*followed.loop.list_processes()] == []
    second = {tid for tid, image in followed.callers if image == 2}
    assert second == {followed.pid}, "the thread that execs becomes the leader"
    assert len({tid for tid, image in followed.callers if image == 1}) > 1


def test_when_a_signal_was_delivered(work: Path) -> None:
    before = time.monotonic()
    loop = follow([SHELL, "-c", "trap : USR1; kill -USR1 $$"], work).loop
    assert before < loop.last_delivery(signal.SIGUSR1) < time.monotonic()
    assert loop.last_delivery(signal.SIGUSR2) == float("-inf")


# Stops


@pytest.mark.parametrize(
    ("status", "stop"),
    [
        # The low byte, the next one, and the event: ptrace(2), "Stopped states" and following.
        (3 << 8, ExitStatus(3, None)),
        (signal.SIGKILL, ExitStatus(137, 9)),
        (signal.SIGSEGV | 0x80, ExitStatus(139, 11)),
        (signal.SIGUSR1 << 8 | 0x7F, SignalDelivery(signal.SIGUSR1)),
        (signal.SIGTRAP << 8 | 0x7F, SignalDelivery(signal.SIGTRAP)),
        ((signal.SIGTRAP | 0x80) << 8 | 0x7F, PtraceEvent.CALL),
        (7 << 16 | signal.SIGTRAP << 8 | 0x7F, PtraceEvent.CALL),
        (1 << 16 | signal.SIGTRAP << 8 | 0x7F, PtraceEvent.BIRTH),
        (2 << 16 | signal.SIGTRAP << 8 | 0x7F, PtraceEvent.BIRTH),
        (3 << 16 | signal.SIGTRAP << 8 | 0x7F, PtraceEvent.BIRTH),
        (4 << 16 | signal.SIGTRAP << 8 | 0x7F, PtraceEvent.EXEC),
        (6 << 16 | signal.SIGTRAP << 8 | 0x7F, PtraceEvent.OTHER),
        (128 << 16 | signal.SIGTRAP << 8 | 0x7F, PtraceEvent.FIRST_STOP),
        (128 << 16 | signal.SIGTSTP << 8 | 0x7F, PtraceEvent.GROUP_STOP),
    ],
)
def test_a_wait_status(status: int, stop: Stop) -> None:
    assert decode_status(status) == stop


def test_the_statuses_of_a_real_process(work: Path) -> None:
    script = "kill -STOP $$; (exit 0); exec true"
    pid, execute = seized([SHELL, "-c", script])
    execute()
    stops: list[Stop] = []
    while not (stops and isinstance(stops[-1], ExitStatus)):
        tid, status = os.waitpid(-1, ptrace.WAIT_OWN)
        stop = decode_status(status)
        if tid == pid:
            stops.append(stop)
        if stop is PtraceEvent.GROUP_STOP:
            ptrace.listen(tid)
            os.kill(tid, signal.SIGCONT)
        else:
            ptrace.resume(tid, stop.signal if isinstance(stop, SignalDelivery) else 0)
    assert [stop for stop in stops if stop is not PtraceEvent.FIRST_STOP] == [
        PtraceEvent.EXEC,
        SignalDelivery(signal.SIGSTOP),
        PtraceEvent.GROUP_STOP,
        SignalDelivery(signal.SIGCONT),
        PtraceEvent.BIRTH,
        SignalDelivery(signal.SIGCHLD),
        PtraceEvent.EXEC,
        ExitStatus(0, None),
    ]


def test_the_exit_statuses_of_more_processes_than_pidfds_at_first(work: Path) -> None:
    """All run at the same time, and are killed: only their pidfds show how they ended."""
    if kernel_version() < EXIT_STATUS_SINCE:
        pytest.skip("missing here: Linux 6.15")
    count = MIN_PIDFDS + 6
    child = "echo >&4; read line; kill -KILL $$"
    script = f"""mkfifo wait ready; exec 3<>wait 4<>ready
for each in $(seq {count}); do {SHELL} -c '{child}' <wait 3>&- & done
for each in $(seq {count}); do read line <&4; done
exec 3>&-; wait"""
    tracked = track("notify", [SHELL, "-c", script], work)
    ends = [image.exit_status for image in tracked.images if image.argument == child]
    assert ends == [128 + signal.SIGKILL] * count


def test_an_exit_status() -> None:
    assert decode_exit_status(0) == ExitStatus(0, None)
    assert decode_exit_status(signal.SIGTERM) == ExitStatus(143, signal.SIGTERM)
    assert decode_exit_status(255 << 8) == ExitStatus(255, None)
