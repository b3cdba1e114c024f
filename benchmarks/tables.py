"""Formats tables for people, and a JSON document for programs."""

from __future__ import annotations

import json
import os
import platform
from typing import TYPE_CHECKING

from figures import NATIVE, SLIMTRACE, START, NoFigureError
from tools import PEERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from figures import Figures
    from speed_targets import Verdict

PARTS = "start"
"""The load whose tools are the commands that run parts of slimtrace's start."""


def get_machine() -> dict[str, str | int]:
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def describe_machine(rounds: int) -> Iterable[str]:
    machine = get_machine()
    yield (
        f"Linux {machine['kernel']} {machine['machine']}, {machine['cores']} cores, "
        f"Python {machine['python']}; medians of {rounds} interleaved rounds, seconds"
    )
    yield ""


def format_speed(figures: Figures) -> Iterable[str]:
    heads = "".join(f"{head:>9}" for head in ("median", "min", "max", "added"))
    yield f"{'load':9}{'tool':15}{heads}{'slimtrace / it':>17}"
    for load, tools in figures.seconds.items():
        if load == PARTS:
            continue
        for tool, times in tools.items():
            added = None if tool == NATIVE else _figure(figures.added, load, tool)
            ratio = _figure(figures.ratio, load, tool) if tool in PEERS else None
            yield (
                f"{load:9}{tool:15}{figures.median(load, tool):9.3f}{min(times):9.3f}"
                f"{max(times):9.3f}{_cell(added, 9, 3)}{_cell(ratio, 17, 2)}"
            ).rstrip()
    yield ""
    yield f"added: time beyond native, minus what the tool adds to /bin/true ({START}: that)"
    yield ""


def format_start(figures: Figures) -> Iterable[str]:
    """The parts of slimtrace's start, in milliseconds."""
    if PARTS not in figures.seconds or SLIMTRACE not in figures.seconds[START]:
        return
    yield "slimtrace's start, ms"
    for name, seconds in split_start(figures).items():
        yield f"  {name:22}{seconds * 1000:9.1f}"
    yield f"  {'together':22}{figures.start(SLIMTRACE) * 1000:9.1f}"
    yield ""


def split_start(figures: Figures) -> dict[str, float]:
    """The seconds that each part adds to those before it; the rest is "set up, end"."""
    parts, before = {}, 0.0
    for name in figures.seconds[PARTS]:
        until = figures.median(PARTS, name)
        parts[name] = until - before
        before = until
    return {**parts, "set up, end": figures.start(SLIMTRACE) - before}


def format_growth(figures: Figures) -> Iterable[str]:
    yield f"{'load':20}{'native':>10}{'slimtrace':>10}{'us a stop':>10}{'peak MB':>10}"
    for load, tools in figures.seconds.items():
        times = [
            figures.median(load, tool) if tool in tools else None for tool in (NATIVE, SLIMTRACE)
        ]
        stop = figures.per_stop(load) * 1e6 if load in figures.stops else None
        peak = figures.peaks[load] / 1e6 if load in figures.peaks else None
        cells = _cell(times[0], 10, 3), _cell(times[1], 10, 3), _cell(stop, 10, 2)
        yield f"{load:20}{''.join(cells)}{_cell(peak, 10, 1)}"
    yield ""


def format_images(figures: Figures) -> Iterable[str]:
    yield f"{'load':16}{'tool':12}{'median':>9}{'min':>9}{'max':>9}{'MB made':>10}{'peak MB':>10}"
    for load, tools in figures.seconds.items():
        for tool, times in tools.items():
            made = figures.sizes.get(load, {}).get(tool)
            peak = figures.peaks.get(load) if tool == SLIMTRACE else None
            cells = (_cell(size and size / 1e6, 10, 1) for size in (made, peak))
            yield (
                f"{load:16}{tool:12}{figures.median(load, tool):9.2f}{min(times):9.2f}"
                f"{max(times):9.2f}{''.join(cells)}"
            ).rstrip()
    yield ""


def format_verdicts(verdicts: Sequence[Verdict], *, quick: bool) -> Iterable[str]:
    """Each target with its figure, and its verdict unless ``quick``."""
    yield f"{'target':48}{'figure':>10}{'at most':>10}"
    results = {True: "met", False: "missed", None: "no figure"}
    for verdict in verdicts:
        target = verdict.target
        digits = 0 if target.unit else 2
        label = f"{target.label}, {target.unit}" if target.unit else target.label
        yield (
            f"{label:48}{_cell(verdict.figure, 10, digits)}{target.maximum:10.{digits}f}"
            f"  {'' if quick else results[verdict.is_met]}"
        ).rstrip()
    if quick:
        yield "no verdicts: --quick does too little work"


def make_document(
    figures: Figures, verdicts: Sequence[Verdict], **more: Mapping[str, float]
) -> str:
    """Every measurement, and the figures computed from them, as JSON."""
    loads = {
        load: {
            "seconds": tools,
            "medians": {tool: figures.median(load, tool) for tool in tools},
            "added": {
                tool: _figure(figures.added, load, tool)
                for tool in tools
                if load != PARTS and tool != NATIVE
            },
            "ratios": {tool: _figure(figures.ratio, load, tool) for tool in tools if tool in PEERS},
            "stops": figures.stops.get(load),
            "peak": figures.peaks.get(load),
        }
        for load, tools in figures.seconds.items()
    }
    judged = [
        {
            "promise": verdict.target.label,
            "unit": verdict.target.unit,
            "figure": verdict.figure,
            "most": verdict.target.maximum,
            "kept": verdict.is_met,
        }
        for verdict in verdicts
    ]
    return (
        json.dumps({"machine": get_machine(), "loads": loads, "promises": judged, **more}, indent=2)
        + "\n"
    )


def _figure(compute: Callable[[str, str], float], load: str, tool: str) -> float | None:
    try:
        return compute(load, tool)
    except NoFigureError:
        return None


def _cell(figure: float | None, width: int, digits: int) -> str:
    return " " * width if figure is None else f"{figure:{width}.{digits}f}"
