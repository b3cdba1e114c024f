"""Tables for people, a document for programs."""

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
    from promises import Verdict

PARTS = "start"
"""The load whose tools are the parts of slimtrace's start, as far as they go."""


def machine() -> dict[str, str | int]:
    return {
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
    }


def describe(rounds: int) -> Iterable[str]:
    here = machine()
    yield (
        f"Linux {here['kernel']} {here['machine']}, {here['cores']} cores, "
        f"Python {here['python']}; medians of {rounds} interleaved rounds, seconds"
    )
    yield ""


def speed(figures: Figures) -> Iterable[str]:
    heads = "".join(f"{word:>9}" for word in ("median", "min", "max", "added"))
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
    yield f"added: more than native, net of what the tool adds to /bin/true ({START}: that itself)"
    yield ""


def start(figures: Figures) -> Iterable[str]:
    """Slimtrace's start by its parts, in milliseconds."""
    if PARTS not in figures.seconds or SLIMTRACE not in figures.seconds[START]:
        return
    yield "slimtrace's start, ms"
    for name, seconds in parts(figures).items():
        yield f"  {name:22}{seconds * 1000:9.1f}"
    yield f"  {'together':22}{figures.start(SLIMTRACE) * 1000:9.1f}"
    yield ""


def parts(figures: Figures) -> dict[str, float]:
    """What each part of the start adds to those before it; the set-up is what is left."""
    found, before = {}, 0.0
    for name in figures.seconds[PARTS]:
        until = figures.median(PARTS, name)
        found[name] = until - before
        before = until
    return {**found, "set up, end": figures.start(SLIMTRACE) - before}


def growth(figures: Figures) -> Iterable[str]:
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


def images(figures: Figures) -> Iterable[str]:
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


def promises(verdicts: Sequence[Verdict], *, quick: bool) -> Iterable[str]:
    """Each promise with its figure and, unless too little was done to judge, its verdict."""
    yield f"{'promise':48}{'figure':>10}{'at most':>10}"
    words = {True: "met", False: "missed", None: "no figure"}
    for verdict in verdicts:
        promise = verdict.promise
        digits = 0 if promise.unit else 2
        what = f"{promise.what}, {promise.unit}" if promise.unit else promise.what
        yield (
            f"{what:48}{_cell(verdict.figure, 10, digits)}{promise.most:10.{digits}f}"
            f"  {'' if quick else words[verdict.kept]}"
        ).rstrip()
    if quick:
        yield "with --quick too little is done for a verdict"


def document(figures: Figures, verdicts: Sequence[Verdict], **more: Mapping[str, float]) -> str:
    """Every measurement, and what was made of it."""
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
            "promise": verdict.promise.what,
            "unit": verdict.promise.unit,
            "figure": verdict.figure,
            "most": verdict.promise.most,
            "kept": verdict.kept,
        }
        for verdict in verdicts
    ]
    return (
        json.dumps({"machine": machine(), "loads": loads, "promises": judged, **more}, indent=2)
        + "\n"
    )


def _figure(compute: Callable[[str, str], float], load: str, tool: str) -> float | None:
    try:
        return compute(load, tool)
    except NoFigureError:
        return None


def _cell(figure: float | None, width: int, digits: int) -> str:
    return " " * width if figure is None else f"{figure:{width}.{digits}f}"
