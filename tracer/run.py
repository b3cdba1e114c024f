"""``slimtrace run``: a command is launched, traced by two loops, driven, and its end recorded."""

from __future__ import annotations

import gc
import os
import platform
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tracer import environment, interrupts
from tracer.decode.decoder import Decoder
from tracer.errors import SlimtraceError, TraceFileError
from tracer.kernel import bpf, seccomp
from tracer.launch import Launch, find_program, launch
from tracer.lifecycle import Lifecycle
from tracer.model import Run
from tracer.notify import Notifications
from tracer.recorder import Recorder
from tracer.restart import Restarts
from tracer.syscalls import tables
from tracer.tracefile.reader import read_trace
from tracer.tracefile.writer import TraceWriter

if TYPE_CHECKING:
    import signal
    from collections.abc import Sequence

    from tracer.drive import Plan
    from tracer.errors import DriverError

_OLDEST_KERNEL = (5, 5)
_LAST_CALLS = 5.0
"""Seconds to wait for the loop that answers calls, where it cannot hear of the last task's end."""


@dataclass(frozen=True, slots=True)
class Options:
    """What ``run`` was asked for. ``plan`` is None where nothing drives the app."""

    output: str
    append: bool = False
    force: bool = False
    plan: Plan | None = None
    stop_signal: signal.Signals | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended.

    :ivar exit_status: what slimtrace passes on.
    :ivar failure: why a driver failed, or None.
    :ivar stops: calls that were stopped.
    :ivar files: paths of the full image that were touched.
    :ivar gaps: kinds of gap to how many.
    """

    run: Run
    exit_status: int
    stops: int
    files: int
    failure: DriverError | None = None
    gaps: dict[str, int] = field(default_factory=dict)


def check_platform() -> None:
    """:raises SlimtraceError: this is no Linux, too old a kernel, or an unknown machine."""
    system, release, machine = platform.system(), platform.release(), platform.machine()
    if system != "Linux":
        raise SlimtraceError(
            f"cannot trace on {system}: slimtrace needs Linux", "run it in a Linux container"
        )
    if machine not in tables.MACHINES:
        known = ", ".join(sorted(tables.MACHINES))
        raise SlimtraceError(f"cannot trace on {machine}: slimtrace knows {known}")
    if _kernel() < _OLDEST_KERNEL:
        raise SlimtraceError(f"cannot trace on Linux {release}: 5.5 or later is needed")


def check_directory() -> None:
    """:raises SlimtraceError: the current directory was deleted."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise SlimtraceError(
            "cannot trace in the current directory: it was deleted", "go to another directory"
        ) from error


def run(command: Sequence[str], options: Options) -> Result:
    """Trace ``command`` to its end.

    :raises SlimtraceError: it could not be started or traced, or the trace not written; each
        subclass with its exit status.
    """
    check_platform()
    check_directory()
    program = find_program(command[0])
    if options.plan:
        from tracer.drive import check_not_ready  # noqa: PLC0415 -- http is slow to import

        check_not_ready(options.plan)
    number, first_process = _continued(options)
    writer = TraceWriter(
        os.path.abspath(options.output), append=options.append, force=options.force
    )
    calls = tables.stopped_calls(platform.machine())
    code = bpf.program(tables.verdicts(calls))
    mask = interrupts.block()
    try:
        started = launch(program, command, code, mask)
        recorder = Recorder(writer, number, first_process)
        result = _trace(started, recorder, writer, calls, _begin(command, options), options, mask)
    except BaseException:
        writer.abandon()
        raise
    finally:
        interrupts.restore(mask)
    writer.close()
    if writer.failure is not None:
        raise TraceFileError(
            f"cannot write {options.output}: {writer.failure.strerror}",
            "the trace is cut short: make room and trace again",
        )
    return result


def _continued(options: Options) -> tuple[int, int]:
    """The number of this run and the id of its first process image in the trace."""
    if not options.append or not os.path.exists(options.output):
        return 0, 1
    trace = read_trace(options.output)
    return len(trace.runs), 1 + max((image.id for image in trace.processes), default=0)


def _begin(command: Sequence[str], options: Options) -> Run:
    return Run(
        command=tuple(command),
        cwd=os.getcwd(),
        user=f"{os.geteuid()}:{os.getegid()}",
        env=environment.kept(os.environ),
        image="rootfs:/",
        image_digest=None,
        started=datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        machine=platform.machine(),
        engine="notify",
        stop_signal=options.stop_signal.name if options.stop_signal else None,
    )


def _trace(
    started: Launch,
    recorder: Recorder,
    writer: TraceWriter,
    calls: dict[int, tables.Call],
    about: Run,
    options: Options,
    mask: set[int],
) -> Result:
    """Both loops, from the app's exec to the end of the last tracee."""
    writer.run(about)
    decoder = Decoder(recorder)
    lifecycle = Lifecycle(recorder, decoder.execs, Restarts(calls))
    lifecycle.adopt(started.pid)
    listener = seccomp.Listener.open(started.listener)
    answers = Notifications(listener, decoder, lifecycle, calls)
    thread = threading.Thread(target=answers.loop, name="notify", daemon=True)
    thread.start()
    interrupts.Interrupts(lifecycle).start()
    driver = None
    if options.plan:
        from tracer.drive import Driver  # noqa: PLC0415 -- the same

        driver = Driver(options.plan, lifecycle, mask)
        driver.start()
    gc.freeze()  # nothing in the loops makes cycles; a collection would only hold up the app
    gc.disable()
    started.go()
    lifecycle.loop()
    gc.enable()
    # An untraced child (CLONE_UNTRACED) still needs its calls answered.
    thread.join(None if _hears_of_the_end() else _LAST_CALLS)
    if driver is not None:
        driver.join()
    if answers.lost is not None:
        raise SlimtraceError(f"cannot go on tracing: {answers.lost}") from answers.lost
    started.check_executed()
    writer.begin()
    decoder.execs.finish()
    return _end(about, recorder, writer, lifecycle, answers, driver.failure if driver else None)


def _hears_of_the_end() -> bool:
    """Whether a listener is told that its last task is gone: since Linux 5.9."""
    return _kernel() >= (5, 9)


def _kernel() -> tuple[int, int]:
    major, minor = platform.release().split(".")[:2]
    return int(major), int(minor.split("-")[0])


def _end(
    about: Run,
    recorder: Recorder,
    writer: TraceWriter,
    lifecycle: Lifecycle,
    answers: Notifications,
    failure: DriverError | None,
) -> Result:
    last = lifecycle.root_exit
    about = replace(
        about,
        seconds=round(recorder.seconds(), 3),
        exit_status=last.status if last else None,
        signal=last.signal if last else None,
        complete=recorder.complete,
    )
    writer.end(about)
    status = failure.exit_status if failure else (about.exit_status or 0)
    return Result(about, status, answers.stops, recorder.files, failure, recorder.gaps)
