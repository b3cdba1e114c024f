"""What is promised of slimtrace's speed and memory, and whether it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from figures import SLIMTRACE, Figures, NoFigureError
from tools import FLOOR, FREE, PINNED
from trees import READING, WRITING
from workloads import FEW, GROWTH, MANY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Promise:
    """A figure and the most that it may be."""

    what: str
    most: float
    figure: Callable[[Figures], float]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a promise: without a figure nothing can be said."""

    promise: Promise
    figure: float | None

    @property
    def kept(self) -> bool | None:
        return None if self.figure is None else self.figure <= self.promise.most


def growth_name(load: str, stops: int) -> str:
    return f"{load} {stops:,}"


def _added(load: str, peer: str, most: float) -> Promise:
    return Promise(f"{load}: added, of {peer}'s", most, lambda figures: figures.ratio(load, peer))


def _growth(load: str) -> Iterable[Promise]:
    few, many = growth_name(load, FEW), growth_name(load, MANY)
    yield Promise(f"{load}: a stop's cost, many by few", 1.3, lambda f: f.growth(few, many))
    yield Promise(f"{load}: memory, many", 400, lambda f: f.peak(many) / 1e6, "MB")


SPEED = (
    _added("stats", PINNED, 0.6),
    _added("stats", FREE, 0.1),
    _added("import", PINNED, 0.8),
    _added("import", FREE, 0.2),
    _added("forks", PINNED, 1.0),
    _added("forks", FREE, 0.5),
    *(_added(load, FLOOR, 1.8) for load in ("stats", "import", "forks")),
    Promise("reads: time, of native's", 1.03, lambda figures: figures.slowdown("reads")),
    *(_added("parallel", peer, 1.0) for peer in (PINNED, FREE)),
    Promise("start", 180, lambda figures: figures.start(SLIMTRACE) * 1000, "ms"),
)
MEMORY = (
    *(promise for load in GROWTH for promise in _growth(load)),
    Promise("import: memory", 60, lambda figures: figures.peak("import") / 1e6, "MB"),
)


def _written(load: str) -> Iterable[Promise]:
    yield Promise(f"{load}: time, of tar, gzip -6 and sha256's", 0.5, lambda f: f.of_rival(load))
    yield Promise(f"{load}: size, of tar and gzip -6's", 1.05, lambda f: f.size_of_rival(load))
    yield Promise(f"{load}: memory", 150, lambda f: f.peak(load) / 1e6, "MB")


IMAGES = (
    *(promise for load in WRITING for promise in _written(load)),
    Promise(f"{READING}: time, of umoci's", 1.2, lambda figures: figures.of_rival(READING)),
    Promise(f"{READING}: memory", 150, lambda figures: figures.peak(READING) / 1e6, "MB"),
)


def judge(promises: Sequence[Promise], figures: Figures) -> list[Verdict]:
    return [Verdict(promise, _figure(promise, figures)) for promise in promises]


def _figure(promise: Promise, figures: Figures) -> float | None:
    try:
        return promise.figure(figures)
    except NoFigureError:
        return None
