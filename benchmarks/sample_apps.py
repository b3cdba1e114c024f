"""The samples as apps to score: their runs, and their probes as questions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from full_image import make_full_image
from sample import list_samples, load_sample
from sample_runner import run_peer
from scored_app import Interview, ScoredApp

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sample import Probe, Sample, TracedRun


def make_sample_app(name: str, images: Path) -> ScoredApp:
    """A sample, with free ports.

    :param images: where full images are kept for the next time.
    """
    sample = load_sample(name)
    return ScoredApp(
        name,
        sample.about,
        lambda _: make_full_image(sample, images),
        tuple(Interview(tuple(_drive(run)), run.command) for run in sample.runs),
        tuple(_list_interviews(sample)),
        (*sample.build, *(word for glob in sample.include for word in ("--include", glob))),
        sample.volumes,
        partial(run_peer, sample),
    )


def list_sample_apps() -> tuple[str, ...]:
    """The names of the samples."""
    return list_samples()


def _list_interviews(sample: Sample) -> Iterator[Interview]:
    """The traced runs and the probes; those that one start can answer are asked together."""
    asked: dict[tuple[str | None, tuple[str, ...]], list[str]] = {}
    for run in sample.runs:
        options = [*_ask(run.get, run.exec, run.exec_in)]
        asked.setdefault((run.ready, run.command), []).extend(options)
    for probe in sample.probes:
        gets, commands, inside = (_some(each) for each in (probe.get, probe.exec, probe.exec_in))
        is_question = bool(gets or commands or inside)
        ready = probe.ready or (sample.runs[0].ready if is_question else None)
        known = asked.setdefault((ready, probe.command), [])
        known.extend(_ask(tuple(map(_get_target, gets)), commands, inside))
    for (ready, command), options in asked.items():
        yield Interview((*(() if ready is None else ("--ready", ready)), *options), command)


def _drive(run: TracedRun) -> Iterator[str]:
    if run.ready is None:
        return
    yield from ("--ready", run.ready)
    options = [*_ask(run.get, run.exec, run.exec_in)]
    yield from options or ("--exec", "true")


def _ask(
    gets: tuple[str, ...], commands: tuple[str, ...], inside: tuple[str, ...]
) -> Iterator[str]:
    for path in gets:
        yield from ("--http-get", path)
    for command in commands:
        yield from ("--exec", command)
    for command in inside:
        yield from ("--exec-in", command)


def _some(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


def _get_target(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.path}?{parts.query}" if parts.query else parts.path


def has_question(probe: Probe) -> bool:
    """Whether a probe asks a running app."""
    return any((probe.get, probe.exec, probe.exec_in))
