"""What was measured, and what is computed from it. Seconds throughout.

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
"""Who does the same as slimtrace with an image."""
START = "true"
"""The load that does nothing: its time under a tool is the tool's own start."""


class NoFigureError(Exception):
    """What a figure is made of was left out, or lies below what can be measured."""


@dataclass(frozen=True, slots=True)
class Figures:
    """All measurements of one run of the benchmark.

    :ivar seconds: by load, then by tool, one for each time it was run.
    :ivar peaks: by load, the most memory that slimtrace took, in bytes, where it was watched.
    :ivar stops: by load, how many calls a tracer stops in it, where growth is looked at.
    :ivar sizes: by load, then by tool, the bytes of what it makes.
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
        """What a tool adds to a load; to START, its start itself."""
        if load == START:
            return self.start(tool)
        return self.net(load, tool) - self.median(load, NATIVE)

    def ratio(self, load: str, peer: str) -> float:
        """What slimtrace adds to a load, by what ``peer`` adds."""
        return _ratio(self.added(load, SLIMTRACE), self.added(load, peer))

    def slowdown(self, load: str) -> float:
        """A load's time under slimtrace by its native one."""
        return _ratio(self.net(load, SLIMTRACE), self.median(load, NATIVE))

    def per_stop(self, load: str) -> float:
        """What slimtrace adds to one stopped call of a load."""
        return self.added(load, SLIMTRACE) / self.stops[load]

    def growth(self, few: str, many: str) -> float:
        """A stop's cost among many, by that among few."""
        return _ratio(self.per_stop(many), self.per_stop(few))

    def of_rival(self, load: str) -> float:
        """Slimtrace's time by its rival's."""
        return _ratio(self.median(load, SLIMTRACE), self.median(load, RIVAL))

    def size_of_rival(self, load: str) -> float:
        """The size of what slimtrace makes, by that of its rival's.

        :raises NoFigureError: nothing was made.
        """
        if load not in self.sizes:
            raise NoFigureError
        return _ratio(self.sizes[load][SLIMTRACE], self.sizes[load][RIVAL])

    def peak(self, load: str) -> int:
        """:raises NoFigureError: it was not watched."""
        if load not in self.peaks:
            raise NoFigureError
        return self.peaks[load]


def _ratio(one: float, other: float) -> float:
    if one <= 0 or other <= 0:  # the machine's noise was more than what was to be measured
        raise NoFigureError
    return one / other
