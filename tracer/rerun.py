"""Repeats a run that was traced in a full image: in its slim image, driven in the same way."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.image.run_config import choose_command, make_image_run
from slimtrace.tracer.image.runtime import parse_volume
from slimtrace.tracer.run import RunOptions
from slimtrace.tracer.run import run as trace_run
from slimtrace.tracer.trace.output import TraceOutput
from slimtrace.tracer.trace.trace import DriveOptions

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.tracer.image.opened_image import OpenedImage
    from slimtrace.tracer.image.runtime import Volume
    from slimtrace.tracer.rerun_options import RerunOptions
    from slimtrace.tracer.trace.trace import Run

_SERVICE_SECONDS = 5.0
_MIN_JOB_SECONDS, _JOB_FACTOR = 60.0, 10.0
"""Seconds: for a service that the user ended by hand; for a job, with times what it took."""


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
    """Run it and write its trace; the app's output goes to stderr, its input is empty.

    :param is_default: whether the image's own Entrypoint, Cmd and WorkingDir are those of the run;
        an image without a configuration has none.
    :param user: who it runs as where ``changes`` names nobody; None for the image's user.
    :param below: a directory whose names show where the image has none.
    :raises SlimtraceError: it cannot be started; each subclass with its exit status.
    """
    own = is_default and bool(image.config)
    inside = make_image_run(
        image.source,
        image.root,
        image.digest,
        image.config or {"Env": [f"{name}={value}" for name, value in run.env.items()]},
        env=changes.env,
        user=changes.user or user or (None if image.config else run.user),
        workdir=None if own else run.cwd,
        volumes=_merge_volumes(run.mounts, changes.volumes),
        network=run.network,
        hostname=run.hostname,
    )
    inside = replace(inside, read_only=changes.read_only, cap_drop=changes.cap_drop, below=below)
    command = choose_command(image.config, (), None) if own else run.command
    driving = _make_driving(run)
    number = signal.Signals[driving.stop_signal]
    options = RunOptions(TraceOutput(output), driving=driving, stop_signal=number, inside=inside)
    with _redirect_streams():
        trace_run(command, options)


def rerun_here(run: Run, output: str, changes: RerunOptions) -> None:
    """Run it as :func:`rerun` does, but on this machine's root, as who and where it ran before.

    :raises SlimtraceError: it cannot be started, or its directory is gone.
    """
    driving = _make_driving(run)
    number = signal.Signals[driving.stop_signal]
    with _redirect_streams(), _in_directory(run.cwd), _with_variables(changes.env):
        trace_run(run.command, RunOptions(TraceOutput(output), driving=driving, stop_signal=number))


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
def _with_variables(words: Sequence[str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(word.partition("=")[::2] for word in words if "=" in word)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _make_driving(run: Run) -> DriveOptions:
    """How to drive and end the run: no user is there to end it, as when it was traced.

    A run that ended by itself gets several times as long as it took then.
    """
    driving = run.driving or DriveOptions()
    if driving.http_get or driving.commands or driving.inside or driving.stop_after is not None:
        return driving
    seconds = run.seconds or 0.0
    if run.interrupted is None:
        return replace(driving, stop_after=_MIN_JOB_SECONDS + _JOB_FACTOR * seconds)
    stopped = run.interrupted if run.interrupted in signal.Signals.__members__ else "SIGTERM"
    return replace(driving, stop_after=min(seconds, _SERVICE_SECONDS), stop_signal=stopped)


def _merge_volumes(traced: Sequence[str], given: Sequence[str]) -> tuple[Volume, ...]:
    """:raises SlimtraceError: the host path of a volume does not exist on this machine."""
    instead = {volume.target: volume for volume in map(parse_volume, given)}
    shown = {}
    for words in traced:
        source, _, rest = words.partition(":")
        target = rest.partition(":")[0]
        if target not in instead and not os.path.exists(source):
            raise SlimtraceError(
                f"cannot mount {target}: {source} does not exist on this machine",
                f"mount something else there: --volume HOST:{target}",
            )
        if target not in instead:
            shown[target] = parse_volume(words)
    return (*{**shown, **instead}.values(),)


@contextmanager
def _redirect_streams() -> Iterator[None]:
    """Give the app an empty stdin, and send its stdout to stderr: ours is for data."""
    _open_closed_streams()
    if sys.stdout is not None:
        sys.stdout.flush()
    kept = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    try:
        yield
    finally:
        for number, fd in enumerate(kept):
            os.dup2(fd, number)
            os.close(fd)


def _open_closed_streams() -> None:
    """Open /dev/null for the standard streams that were closed when slimtrace started."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number (open(2))
