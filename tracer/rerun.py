"""Repeats a traced run, for example in the slim image, and drives it in the same way."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.image.run_config import choose_command, make_image_run
from slimtrace.tracer.rerun_folders import prepare_folders
from slimtrace.tracer.rerun_options import normalize_capability
from slimtrace.tracer.rerun_requests import repeat_found
from slimtrace.tracer.run import RunOptions
from slimtrace.tracer.run import run as trace_run
from slimtrace.tracer.trace.output import TraceOutput
from slimtrace.tracer.trace.trace import DriveOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.tracer.drive.command_folder import CommandFolder
    from slimtrace.tracer.image.opened_image import OpenedImage
    from slimtrace.tracer.image.runtime import Volume
    from slimtrace.tracer.rerun_options import RerunOptions
    from slimtrace.tracer.trace.trace import Run

_SERVICE_SECONDS = 5.0
"""How long a service runs that the user had ended by hand."""
_MIN_JOB_SECONDS, _JOB_FACTOR = 60.0, 10.0
"""The time limit of a job: so many seconds, plus its first duration times the factor."""


def rerun(
    image: OpenedImage,
    run: Run,
    output: str,
    changes: RerunOptions,
    *,
    is_default: bool,
    user: str | None = None,
    below: str | None = None,
) -> None:
    """Repeat ``run`` in ``image`` and write its trace.

    The app's stdout goes to stderr; its stdin is empty.

    :param is_default: whether to use the image's Entrypoint, Cmd and WorkingDir, which are those
        of the run; an image without a configuration has none.
    :param user: the user to run as if ``changes`` names none; None for the image's user.
    :param below: a directory whose entries are visible where the image has none.
    :raises SlimtraceError: it cannot be started; each subclass has its exit status.
    """
    with prepare_folders(run, changes) as (volumes, command_folder):
        _rerun(
            image,
            run,
            output,
            changes,
            volumes,
            command_folder,
            uses_config=is_default and bool(image.config),
            user=user,
            below=below,
        )


def _rerun(
    image: OpenedImage,
    run: Run,
    output: str,
    changes: RerunOptions,
    volumes: tuple[Volume, ...],
    command_folder: CommandFolder | None,
    *,
    uses_config: bool,
    user: str | None,
    below: str | None,
) -> None:
    inside = make_image_run(
        image.source,
        image.root,
        image.digest,
        image.config or {"Env": [f"{name}={value}" for name, value in run.env.items()]},
        env=changes.env,
        user=changes.user or user or (None if image.config else run.user),
        workdir=None if uses_config else run.cwd,
        volumes=volumes,
        network=run.network,
        hostname=run.hostname,
        no_new_privileges=run.no_new_privileges or changes.no_new_privileges,
        has_reaper=run.init,
    )
    inside = replace(
        inside,
        read_only=changes.read_only,
        cap_drop=changes.cap_drop,
        cap_add=_choose_added(run, changes),
        below=below,
    )
    command = choose_command(image.config, (), None) if uses_config else run.command
    driving = _make_driving(run)
    number = signal.Signals[driving.stop_signal]
    options = RunOptions(
        TraceOutput(output),
        drive_options=driving,
        stop_signal=number,
        inside=inside,
        command_folder=command_folder,
        answers=changes.answers,
    )
    with _redirect_streams():
        trace_run(command, options)


def _choose_added(run: Run, changes: RerunOptions) -> tuple[str, ...]:
    """The capabilities to add: also those of the traced run, unless they are dropped."""
    dropped = {*map(normalize_capability, changes.cap_drop)}
    own = () if "ALL" in dropped else run.cap_add
    kept = (name for name in own if normalize_capability(name) not in dropped)
    return tuple(dict.fromkeys((*kept, *changes.cap_add)))


def rerun_here(run: Run, output: str, changes: RerunOptions) -> None:
    """Repeat ``run`` on this machine's root, in the same directory; else like :func:`rerun`.

    :raises SlimtraceError: it cannot be started, or its directory does not exist any more.
    """
    driving = _make_driving(run)
    number = signal.Signals[driving.stop_signal]
    with _redirect_streams(), _in_directory(run.cwd), _with_variables(changes.env):
        options = RunOptions(
            TraceOutput(output),
            drive_options=driving,
            stop_signal=number,
            answers=changes.answers,
        )
        trace_run(run.command, options)


@contextmanager
def _in_directory(path: str) -> Iterator[None]:
    before = os.open(".", os.O_PATH | os.O_DIRECTORY)
    try:
        try:
            os.chdir(path)
        except OSError as error:
            raise SlimtraceError(f"cannot run in {path}: {error.strerror}") from error
        yield
        os.fchdir(before)
    finally:
        os.close(before)


@contextmanager
def _with_variables(assignments: Sequence[str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(each.partition("=")[::2] for each in assignments if "=" in each)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _make_driving(run: Run) -> DriveOptions:
    """Return how to drive and end the run: this time no user ends it.

    A run that ended by itself gets several times its first duration.
    """
    driving = repeat_found(run.drive_options or DriveOptions(), run.drive_result)
    if driving.has_actions or driving.stop_after is not None:
        return driving
    seconds = run.seconds or 0.0
    if run.interrupted is None:
        return replace(driving, stop_after=_MIN_JOB_SECONDS + _JOB_FACTOR * seconds)
    stopped = run.interrupted if run.interrupted in signal.Signals.__members__ else "SIGTERM"
    return replace(driving, stop_after=min(seconds, _SERVICE_SECONDS), stop_signal=stopped)


@contextmanager
def _redirect_streams() -> Iterator[None]:
    """Give the app an empty stdin, and send its stdout to stderr: our stdout is for data."""
    _open_closed_streams()
    if sys.stdout is not None:
        sys.stdout.flush()
    saved = os.dup(0), os.dup(1)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    os.dup2(2, 1)
    try:
        yield
    finally:
        for number, fd in enumerate(saved):
            os.dup2(fd, number)
            os.close(fd)


def _open_closed_streams() -> None:
    """Open /dev/null for the standard streams that were closed when slimtrace started."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number (open(2))
