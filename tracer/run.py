"""``slimtrace run``: launches a command, traces and drives it, and records how it ended."""

from __future__ import annotations

import gc
import os
import platform
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from slimtrace.tracer import environment
from slimtrace.tracer.console import say
from slimtrace.tracer.engines import signals
from slimtrace.tracer.engines.choice import AUTO, LaunchCommand, start_engine
from slimtrace.tracer.engines.signals import ForwardedSignals
from slimtrace.tracer.errors import CommandNotFoundError, SlimtraceError
from slimtrace.tracer.host.which import find_program
from slimtrace.tracer.platform import check_platform
from slimtrace.tracer.process.borrowed_ids import borrowed_ids
from slimtrace.tracer.record.recorder import Recorder
from slimtrace.tracer.result import RunResult
from slimtrace.tracer.standard_input import StandardInput
from slimtrace.tracer.trace.output import make_timestamp
from slimtrace.tracer.trace.trace import Run

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterable, Sequence

    from slimtrace.tracer.drive.command_folder import CommandFolder
    from slimtrace.tracer.drive.driver import Driver
    from slimtrace.tracer.drive.plan import DrivePlan
    from slimtrace.tracer.engines.engine import Engine
    from slimtrace.tracer.errors import DriverError
    from slimtrace.tracer.image.runtime import ImageRun, Volume
    from slimtrace.tracer.process.root_view import RootView
    from slimtrace.tracer.sandbox.sandbox_config import SandboxConfig
    from slimtrace.tracer.trace.output import TraceOutput
    from slimtrace.tracer.trace.trace import DriveOptions


def trace(
    engine: Engine, recorder: Recorder, plan: DrivePlan | None, mask: Iterable[int]
) -> Driver | None:
    """Start the app, forward signals to it, and drive it until it ends; return its driver.

    :param mask: the signals to block in drivers.
    :raises CannotExecuteError: the app could not be executed.
    :raises SlimtraceError: tracing failed during the run; the app was killed.
    """
    ForwardedSignals(engine.app).start()
    driver = plan.make_driver(engine, recorder, mask) if plan is not None else None
    if driver is not None:
        driver.start()
    gc.freeze()  # the loops create no reference cycles; a collection would only delay the app
    gc.disable()
    try:
        with borrowed_ids():
            engine.run(recorder)
    except OSError as error:
        raise SlimtraceError(f"cannot continue tracing: {error}") from error
    finally:
        gc.enable()
        if driver is not None:
            driver.join()
    return driver


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of ``run``.

    :ivar driving: how to drive the app; None to not drive it.
    :ivar inside: the image to run in; None for this machine's root.
    :ivar command_folder: where commands that drive the app run; None for where slimtrace runs.
    :ivar keeps_volumes: whether the trace gets copies of the volumes as they are before the run.
    :ivar answers: a new file for the answers in full; None for their statuses alone.
    """

    output: TraceOutput
    drive_options: DriveOptions | None = None
    stop_signal: signal.Signals | None = None
    engine: str = AUTO
    all_calls: bool = False
    inside: ImageRun | None = None
    command_folder: CommandFolder | None = None
    keeps_volumes: bool = False
    answers: str | None = None


def check_directory() -> None:
    """:raises SlimtraceError: the current directory was deleted."""
    try:
        os.getcwd()
    except FileNotFoundError as error:
        raise SlimtraceError(
            "cannot trace in the current directory: it was deleted", "go to another directory"
        ) from error


def _find_program(name: str) -> str:
    """Find a program; who gave an image's name instead is led to ``--image``."""
    try:
        return find_program(name)
    except CommandNotFoundError as error:
        if ":" not in name:
            raise
        raise CommandNotFoundError(error.message, f"if it is an image: --image {name}") from error


def run(command: Sequence[str], options: RunOptions) -> RunResult:
    """Trace ``command`` to its end.

    :raises SlimtraceError: it could not be started or traced, or the trace could not be written;
        each subclass has its exit status.
    """
    check_platform()
    sandbox = None
    if options.inside is None:
        check_directory()
        program = _find_program(command[0])
    else:
        from slimtrace.tracer.sandbox.sandbox_config import make_sandbox_config  # noqa: PLC0415 -- for images alone

        sandbox, program = make_sandbox_config(options.inside), command[0]
    number, first_process = options.output.find_next_ids(*_name_image(options.inside))
    writer = options.output.open()
    mask = signals.block_signals()
    plan = None
    stdin = StandardInput.before_run()
    before: dict[str, str] = {}
    try:
        if options.inside is not None and options.keeps_volumes:
            from slimtrace.tracer.record.volume_state import keep_volumes  # noqa: PLC0415 -- for volumes alone

            before = keep_volumes(options.inside.volumes, writer)
        plan = _plan(options, sandbox, mask)
        launch = _make_launch(program, command, mask, sandbox, plan)
        chosen = start_engine(options.engine, launch, all_calls=options.all_calls)
        engine = chosen.engine
        if chosen.reason is not None:
            say(f"tracing with the engine {engine.name}, which is slower: {chosen.reason}")
        recorder = Recorder(writer, number, first_process, engine.view)
        about = replace(_describe_run(command, options, engine, sandbox), before=before)
        writer.write_run(about)
        driver = trace(engine, recorder, plan, mask)
        writer.begin()  # an app that ended before its exec is a run, too
        if driver is not None:
            writer.write_drive_result(driver.result)
        recorder.record_datagram_ports()
        about = _add_end(about, engine, recorder, driver)
        about = replace(about, stdin=stdin.find_kind())
        writer.write_end(about)
    except BaseException:
        writer.abandon()
        raise
    finally:
        signals.restore_mask(mask)
        if plan is not None:
            plan.close()
    options.output.finish(writer)
    failure = driver.failure if driver else None
    return RunResult(
        about,
        _choose_exit_status(about, failure),
        engine.stops,
        recorder.files,
        failure,
        recorder.gaps,
        about.drive_result,
    )


def _choose_exit_status(about: Run, failure: DriverError | None) -> int:
    if failure is not None:
        return failure.exit_status
    if about.drive_result is not None and about.drive_result.stopped:
        return 0  # what the app makes of its stop signal is no failure of the run
    return about.exit_status or 0


def _name_image(inside: ImageRun | None) -> tuple[str, str | None]:
    """The image and its digest, as the trace records them."""
    return ("rootfs:/", None) if inside is None else (inside.image, inside.digest)


def _plan(
    options: RunOptions, sandbox: SandboxConfig | None, mask: Iterable[int]
) -> DrivePlan | None:
    if options.drive_options is None:
        return None
    from slimtrace.tracer.drive.plan import make_plan  # noqa: PLC0415 -- not needed where nothing drives the app

    answers = None
    if options.answers is not None:
        from slimtrace.tracer.drive.answer_log import AnswerLog  # noqa: PLC0415 -- for comparisons alone

        answers = AnswerLog(options.answers)
    try:
        return make_plan(options.drive_options, sandbox, mask, options.command_folder, answers)
    except BaseException:
        if answers is not None:
            answers.close()
        raise


def _make_launch(
    program: str,
    command: Sequence[str],
    mask: Iterable[int],
    sandbox: SandboxConfig | None,
    plan: DrivePlan | None,
) -> LaunchCommand:
    if plan is None:
        return LaunchCommand(program, command, mask, sandbox)
    streams, output = plan.descriptors, plan.command_output
    return LaunchCommand(program, command, mask, sandbox, streams, output)


def _describe_run(
    command: Sequence[str], options: RunOptions, engine: Engine, sandbox: SandboxConfig | None
) -> Run:
    inside = options.inside
    about = Run(
        command=tuple(command),
        cwd="/" if sandbox else os.getcwd(),
        user=f"{os.geteuid()}:{os.getegid()}",
        env=environment.select_recorded(os.environ),
        image=_name_image(inside)[0],
        image_digest=_name_image(inside)[1],
        started=make_timestamp(),
        machine=platform.machine(),
        engine=engine.name,
        stop_signal=options.stop_signal.name if options.stop_signal else None,
        drive_options=options.drive_options,
    )
    if inside is None or sandbox is None:
        return about
    return replace(
        about,
        cwd=sandbox.workdir,
        user=f"{sandbox.account.uid}:{sandbox.account.gid}",
        env=environment.select_recorded(sandbox.env),
        volumes=_list_volume_paths(inside.volumes, engine.view),
        mounts=tuple(map(str, inside.volumes)),
        cap_add=inside.cap_add,
        network=inside.network,
        hostname=inside.hostname,
        init=inside.has_reaper,
        no_new_privileges=inside.no_new_privileges,
    )


def _list_volume_paths(volumes: Iterable[Volume], view: RootView) -> tuple[str, ...]:
    """List the targets of volumes: as given, and with symlinks resolved."""
    targets = (
        (volume.target, os.fsdecode(view.resolve_path(os.fsencode(volume.target))))
        for volume in volumes
    )
    return tuple(dict.fromkeys(path for both in targets for path in both))


def _add_end(about: Run, engine: Engine, recorder: Recorder, driver: Driver | None) -> Run:
    """Return the run with its duration and exit status."""
    last = engine.app.exit_status
    return replace(
        about,
        seconds=round(recorder.elapsed_seconds(), 3),
        exit_status=last.status if last else None,
        signal=last.signal if last else None,
        interrupted=engine.app.interrupted,
        complete=recorder.complete,
        drive_result=driver.result if driver else None,
    )
