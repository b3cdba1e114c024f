"""What both images are asked: the runs of traces, questions that no run asked, or both."""

from __future__ import annotations

import platform
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from slimtrace.builder.compare.image_start import PlannedRun
from slimtrace.builder.config.image_config import find_default_run
from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.image.run_config import choose_command, parse_image_stop_signal
from slimtrace.tracer.trace.output import make_timestamp
from slimtrace.tracer.trace.step_changes import add_steps
from slimtrace.tracer.trace.trace import DriveOptions, Run

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.tracer.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Questions:
    """What to ask, and how to start the images for it.

    :ivar driving: how to drive the app; no actions for none.
    :ivar stop_signal: by name; None for the image's.
    :ivar arguments: they replace Cmd.
    :ivar entrypoint: replaces Entrypoint and Cmd, as ``run --entrypoint`` does.
    """

    driving: DriveOptions = field(default_factory=DriveOptions)
    stop_signal: str | None = None
    arguments: tuple[str, ...] = ()
    entrypoint: str | None = None
    workdir: str | None = None
    network: str = "host"
    hostname: str | None = None
    init: bool = False

    def changes_start(self) -> bool:
        """Whether it says how images are started, which a trace says already."""
        start = replace(self, driving=DriveOptions(), stop_signal=None)
        return start != Questions()


@dataclass(frozen=True, slots=True)
class ComparisonPlan:
    """What to run in each image, in the same order."""

    full: tuple[PlannedRun, ...]
    slim: tuple[PlannedRun, ...]


def plan_images(full: FullImage, slim: FullImage, questions: Questions) -> ComparisonPlan:
    """Start each image as its own configuration says.

    A slim image without a configuration is started as the full one.
    """
    first = _make_run(full, full.run_config, questions)
    if not slim.run_config:
        return ComparisonPlan((PlannedRun(first),), (PlannedRun(first),))
    second = _make_run(slim, slim.run_config, questions)
    return ComparisonPlan((PlannedRun(first),), (PlannedRun(second),))


def plan_traced(
    full: FullImage, trace: Trace, questions: Questions, default_run: int | None, main_run: int
) -> ComparisonPlan:
    """Repeat the runs of a trace; the run that the image starts is asked further questions.

    :param default_run: the number of the run that the slim image's own configuration starts.
    :param main_run: the number of the run that is asked further questions.
    """
    default = find_default_run(trace, main_run)
    first, second = [], []
    for number, traced in enumerate(trace.runs, start=1):
        is_main = number == main_run
        run = _add_questions(traced, questions.driving) if is_main else traced
        first.append(PlannedRun(run, user=run.user if full.root != "/" else None))
        user = None if run.user == default.user else run.user
        second.append(PlannedRun(run, is_default=number == default_run, user=user))
    return ComparisonPlan(tuple(first), tuple(second))


def _add_questions(run: Run, asked: DriveOptions) -> Run:
    if not asked.has_actions and asked.ready is None:
        return run
    known = run.drive_options or DriveOptions()
    ready = asked if asked.ready is not None else known
    driving = replace(
        known,
        ready=ready.ready,
        ready_status=ready.ready_status,
        ready_count=ready.ready_count,
        ready_timeout=ready.ready_timeout,
        exec_timeout=asked.exec_timeout,
        stop_after=asked.stop_after,
        directory=asked.directory or known.directory,
    )
    return replace(run, drive_options=add_steps(driving, asked.steps))


def _make_run(opened: FullImage, config: Mapping[str, object], questions: Questions) -> Run:
    if not config and not questions.arguments and not questions.entrypoint:
        raise UsageError(
            f"cannot start {opened.source}: it has no configuration",
            "name the command: slimtrace compare FULL SLIM -- COMMAND",
        )
    number = parse_image_stop_signal(config)
    driving = questions.driving
    stop = questions.stop_signal or (number.name if number is not None else driving.stop_signal)
    if driving.ready is not None and not driving.has_actions and driving.stop_after is None:
        driving = replace(driving, stop_after=0.0)  # whether it starts is the only question
    return Run(
        command=choose_command(config, questions.arguments, questions.entrypoint),
        cwd=questions.workdir or str(config.get("WorkingDir") or "/"),
        user=str(config.get("User") or ""),
        env=dict(each.partition("=")[::2] for each in _strings(config.get("Env"))),
        image=opened.source,
        image_digest=opened.digest,
        started=make_timestamp(),
        machine=platform.machine(),
        engine="",
        network=questions.network,
        hostname=questions.hostname,
        init=questions.init,
        drive_options=replace(driving, stop_signal=stop),
    )


def _strings(found: object) -> tuple[str, ...]:
    return tuple(map(str, found)) if isinstance(found, list) else ()
