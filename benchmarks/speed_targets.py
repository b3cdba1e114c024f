"""The targets for slimtrace's speed and memory, and whether they are met."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from figures import SLIMTRACE, Figures, NoFigureError
from image_loads import READING, WRITING
from tools import FLOOR, FREE, PINNED
from workloads import FEW, GROWTH, MANY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class SpeedTarget:
    """A figure and its maximum.

    :ivar label: the figure's name in tables.
    :ivar maximum: the largest value that meets the target, in ``unit``.
    """

    label: str
    maximum: float
    figure: Callable[[Figures], float]
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """A target and its measured figure; None if it was not measured."""

    target: SpeedTarget
    figure: float | None

    @property
    def is_met(self) -> bool | None:
        return None if self.figure is None else self.figure <= self.target.maximum


def name_growth_load(load: str, stops: int) -> str:
    return f"{load} {stops:,}"


def _limit_added(load: str, peer: str, maximum: float) -> SpeedTarget:
    return SpeedTarget(
        f"{load}: added, of {peer}'s", maximum, lambda figures: figures.ratio(load, peer)
    )


def _limit_growth(load: str) -> Iterable[SpeedTarget]:
    few, many = name_growth_load(load, FEW), name_growth_load(load, MANY)
    yield SpeedTarget(f"{load}: a stop's cost, many by few", 1.3, lambda f: f.growth(few, many))
    yield SpeedTarget(f"{load}: memory, many", 400, lambda f: f.peak(many) / 1e6, "MB")


SPEED = (
    _limit_added("stats", PINNED, 0.6),
    _limit_added("stats", FREE, 0.1),
    _limit_added("import", PINNED, 0.8),
    _limit_added("import", FREE, 0.2),
    _limit_added("forks", PINNED, 1.0),
    _limit_added("forks", FREE, 0.5),
    *(_limit_added(load, FLOOR, 1.8) for load in ("stats", "import", "forks")),
    SpeedTarget("reads: time, of native's", 1.03, lambda figures: figures.slowdown("reads")),
    *(_limit_added("parallel", peer, 1.0) for peer in (PINNED, FREE)),
    SpeedTarget("start", 180, lambda figures: figures.start(SLIMTRACE) * 1000, "ms"),
)
MEMORY = (
    *(target for load in GROWTH for target in _limit_growth(load)),
    SpeedTarget("import: memory", 60, lambda figures: figures.peak("import") / 1e6, "MB"),
)


def _limit_write(load: str) -> Iterable[SpeedTarget]:
    yield SpeedTarget(
        f"{load}: time, of tar, gzip -6 and sha256's", 0.5, lambda f: f.ratio_to_rival(load)
    )
    yield SpeedTarget(
        f"{load}: size, of tar and gzip -6's", 1.05, lambda f: f.size_ratio_to_rival(load)
    )
    yield SpeedTarget(f"{load}: memory", 150, lambda f: f.peak(load) / 1e6, "MB")


IMAGES = (
    *(target for load in WRITING for target in _limit_write(load)),
    SpeedTarget(
        f"{READING}: time, of umoci's", 1.2, lambda figures: figures.ratio_to_rival(READING)
    ),
    SpeedTarget(f"{READING}: memory", 150, lambda figures: figures.peak(READING) / 1e6, "MB"),
)


def judge(targets: Sequence[SpeedTarget], figures: Figures) -> list[Verdict]:
    return [Verdict(target, _compute(target, figures)) for target in targets]


def _compute(target: SpeedTarget, figures: Figures) -> float | None:
    try:
        return target.figure(figures)
    except NoFigureError:
        return None
