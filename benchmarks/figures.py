"""Measurements, and the figures computed from them. All times are in seconds.

*Start* is what a tool adds to /bin/true. *Net* is a tool's median less its start; *added* is that
less the native median.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

NATIVE = "native"
SLIMTRACE = "slimtrace"
RIVAL = "rival"
"""The tool that does the same as slimtrace with an image."""
START = "true"
"""The load that does nothing: its time under a tool is the tool's own start."""


class NoFigureError(Exception):
    """A measurement that a figure needs was left out, or is smaller than the noise."""


@dataclass(frozen=True, slots=True)
class Figures:
    """All measurements of one run of the benchmark.

    :ivar seconds: by load, then by tool, the time of each run.
    :ivar peaks: by load, the peak of slimtrace's memory in bytes, if it was measured.
    :ivar stops: by load, the number of calls that a tracer stops, for the growth loads.
    :ivar sizes: by load, then by tool, the size of the output in bytes.
    """

    seconds: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)
    stops: Mapping[str, int] = field(default_factory=dict)
    sizes: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, load: str, tool: str, seconds: float, peak: int | None = None) -> None:
        self.seconds.setdefault(load, {}).setdefault(tool, []).append(seconds)
        if peak is not None:
            self.peaks[load] = max(peak, self.peaks.get(load, 0))

    def median(self, load: str, tool: str) -> float:
        """:raises NoFigureError: it was not measured."""
        times = self.seconds.get(load, {}).get(tool)
        if times is None:
            raise NoFigureError
        return statistics.median(times)

    def start(self, tool: str) -> float:
        return self.median(START, tool) - self.median(START, NATIVE)

    def net(self, load: str, tool: str) -> float:
        return self.median(load, tool) - self.start(tool)

    def added(self, load: str, tool: str) -> float:
        """The seconds that a tool adds to a load; for START, its start."""
        if load == START:
            return self.start(tool)
        return self.net(load, tool) - self.median(load, NATIVE)

    def ratio(self, load: str, peer: str) -> float:
        """The time that slimtrace adds to a load, divided by what ``peer`` adds."""
        return _divide(self.added(load, SLIMTRACE), self.added(load, peer))

    def slowdown(self, load: str) -> float:
        """A load's time under slimtrace, divided by its native time."""
        return _divide(self.net(load, SLIMTRACE), self.median(load, NATIVE))

    def per_stop(self, load: str) -> float:
        """The seconds that slimtrace adds to each stopped call of a load."""
        return self.added(load, SLIMTRACE) / self.stops[load]

    def growth(self, few: str, many: str) -> float:
        """The cost of a stop among many, divided by its cost among few."""
        return _divide(self.per_stop(many), self.per_stop(few))

    def ratio_to_rival(self, load: str) -> float:
        """Slimtrace's time, divided by its rival's."""
        return _divide(self.median(load, SLIMTRACE), self.median(load, RIVAL))

    def size_ratio_to_rival(self, load: str) -> float:
        """The size of slimtrace's output, divided by its rival's.

        :raises NoFigureError: there was no output.
        """
        if load not in self.sizes:
            raise NoFigureError
        return _divide(self.sizes[load][SLIMTRACE], self.sizes[load][RIVAL])

    def peak(self, load: str) -> int:
        """:raises NoFigureError: it was not measured."""
        if load not in self.peaks:
            raise NoFigureError
        return self.peaks[load]


def _divide(one: float, other: float) -> float:
    if one <= 0 or other <= 0:  # the machine's noise is larger than the figure
        raise NoFigureError
    return one / other
