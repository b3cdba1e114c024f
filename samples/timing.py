"""How long a sample takes until it is ready, in its full image and in a slim one."""

from __future__ import annotations

import statistics
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from beside import beside
from containers import loaded, working_flags
from fullimage import SampleError
from starting import Started, in_podman, serve
from volumes import empty_volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from sample import Sample

    Starter = Callable[[], AbstractContextManager[Started]]

STARTS = 3


@dataclass(frozen=True, slots=True)
class Times:
    """Medians in seconds: until what shows that an app is ready does, or a job has ended.

    :ivar where: the program that runs the image: ``podman``.
    """

    where: str
    full: float
    slim: float


def times(sample: Sample, full: str, slim: str, starts: int = STARTS) -> Times | None:
    """The times of the first run, of both images in turn, so that what else happens hits both.

    :param full: ``oci:DIR:TAG``, as ``slim`` is.
    :returns: None where podman cannot run containers.
    :raises SampleError: a start failed.
    """
    try:
        working_flags()
    except SampleError:
        return None
    with ExitStack() as stack:
        both = [stack.enter_context(_in_podman(sample, image)) for image in (full, slim)]
        seconds = [[_seconds(sample, full, start) for start in both] for _ in range(starts)]
    medians = map(statistics.median, zip(*seconds, strict=True))
    return Times("podman", *medians)


def _seconds(sample: Sample, full: str, start: Starter) -> float:
    with beside(sample, full):
        started = serve(sample.runs[0], start(), drive=False)
    if started.fault is not None:
        raise SampleError(f"{sample.name}: cannot take its time: {started.fault}")
    return started.seconds


@contextmanager
def _in_podman(sample: Sample, image: str) -> Iterator[Starter]:
    with loaded(image) as name:

        @contextmanager
        def start() -> Iterator[Started]:
            with (
                empty_volumes(sample) as volumes,
                in_podman(sample, sample.runs[0], name, volumes=volumes) as app,
            ):
                yield app

        yield start
