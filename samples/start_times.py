"""Measures how long a sample takes to be ready, in its full image and in a slim image."""

from __future__ import annotations

import statistics
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from commands import SampleError
from containers import find_working_flags, load_image
from podman_start import RunningApp, run_in_podman, start_app
from sample_runner import run_peer
from volumes import make_empty_volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sample import Sample

    Starter = Callable[[], AbstractContextManager[RunningApp]]

STARTS = 3


@dataclass(frozen=True, slots=True)
class StartTimes:
    """Medians in seconds: until the ready check of an app succeeds, or a job ends.

    :ivar where: the program that runs the images: ``podman``.
    """

    where: str
    full: float
    slim: float


def measure_start_times(
    sample: Sample, full: str, slim: str, starts: int = STARTS
) -> StartTimes | None:
    """Measure the first run in both images, in turn, so that other load slows down both.

    :param full: the full image, ``oci:DIR:TAG``; ``slim`` is the slim image.
    :returns: None if podman cannot run containers.
    :raises SampleError: a start failed.
    """
    try:
        find_working_flags()
    except SampleError:
        return None
    with ExitStack() as stack:
        both = [stack.enter_context(_load_starter(sample, image)) for image in (full, slim)]
        seconds = [[_measure_start(sample, full, start) for start in both] for _ in range(starts)]
    medians = map(statistics.median, zip(*seconds, strict=True))
    return StartTimes("podman", *medians)


def _measure_start(sample: Sample, full: str, start: Starter) -> float:
    with run_peer(sample, full):
        started = start_app(sample.runs[0], start(), drive=False)
    if started.fault is not None:
        raise SampleError(f"{sample.name}: cannot measure its start: {started.fault}")
    return started.seconds


@contextmanager
def _load_starter(sample: Sample, image: str) -> Iterator[Starter]:
    with load_image(image) as name:

        @contextmanager
        def start() -> Iterator[RunningApp]:
            with (
                make_empty_volumes(sample) as volumes,
                run_in_podman(sample.runs[0], name, volumes=volumes) as app,
            ):
                yield app

        yield start
