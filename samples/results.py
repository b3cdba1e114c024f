"""Writes the results of all samples: results.json for programs, tables in README.md for people."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import targets
from sample import HERE, LEVELS
from slim_image import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from confinement import Confinement
    from measurements import Measurements
    from sample import Sample
    from slim_image import Level, SlimResult
    from start_times import StartTimes

    Results = Sequence[tuple[Sample, SlimResult, Measurements]]

RESULTS = HERE / "results.json"
README = HERE / "README.md"
NONE = "-"
"""Stands for a value that was not or could not be measured."""
BEGIN, END = "<!-- make samples writes from here -->", "<!-- to here -->"


def list_faults(sample: Sample, slimmed: SlimResult, measured: Measurements) -> Iterator[str]:
    """List everything that is not as expected."""
    yield from list_surprises(sample, slimmed)
    if measured.confined is not None:
        yield from list_confinement_faults(sample, measured.confined)


def list_surprises(sample: Sample, slimmed: SlimResult) -> Iterator[str]:
    """List the differences between the images and what the sample expects."""
    for name, level in slimmed.levels.items():
        if not level.verified:
            yield f"{sample.name}: {name} is not verified: {', '.join(level.differences)}"
        for probe in sample.probes:
            answer = level.answers[probe.name]
            if answer.worked != probe.works_at(name):
                outcome = "works at" if answer.worked else "fails at"
                yield f"{sample.name}: {probe.name} {outcome} {name}: {answer.output[-500:]}"
    met = targets.meets_target(sample, slimmed)
    if met is not None and met != (sample.over is None):
        size = slimmed.levels[DEFAULT].unpacked / targets.MB
        limit = f"{_format_target(sample, slimmed)} at most{', and needs no excuse' * met}"
        yield f"{sample.name}: it has {size:.1f} MB unpacked, and is to have {limit}"


def list_confinement_faults(sample: Sample, confined: Confinement) -> Iterator[str]:
    """List the ways in which the sample fails under its profile or, unexpectedly, hardened."""
    faults = {
        "without no_new_privs": confined.privileges,
        "with no_new_privs": confined.no_new_privileges,
    }
    for how, fault in faults.items():
        if fault is not None:
            yield f"{sample.name}: its seccomp profile is too narrow {how}: {fault}"
    if (confined.hardened is None) != (sample.needs is None):
        yield f"{sample.name}: hardened: {confined.hardened or 'it serves, so it needs no excuse'}"


def write_results(results: Results) -> None:
    """Write results.json, and the part of README.md between the marks."""
    document = {each[0].name: _make_document(*each) for each in results}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    text = README.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    tables = f"{make_table(results)}\n{make_levels_table(results)}"
    README.write_text(f"{head}{BEGIN}\n{tables}{END}{tail}")


COLUMNS = {
    "sample": "---",
    "MB": "---:",
    "target": "---:",
    "files": "---:",
    "compressed": "---:",
    "ready s": "---:",
    "packages": "---",
    "verify": "---",
    "check": "---",
    "seccomp": "---",
    "hardened": "---",
}


def make_table(results: Results) -> str:
    """Markdown, a row per sample: the full image, and the image that build makes by default."""
    return _format_rows(
        [tuple(COLUMNS), tuple(COLUMNS.values()), *(_make_row(*each) for each in results)]
    )


def _make_row(sample: Sample, slimmed: SlimResult, measured: Measurements) -> tuple[str, ...]:
    slim = slimmed.levels[DEFAULT]
    return (
        _make_link(sample),
        f"{slimmed.unpacked / 1e6:.1f} → {slim.unpacked / 1e6:.1f}",
        _format_target_result(sample, slimmed),
        f"{slimmed.files:,} → {slim.files:,}",
        f"{slimmed.compressed / 1e6:.1f} → {slim.compressed / 1e6:.1f}",
        _format_times(measured.times),
        _format_counts(measured.packages),
        _format_answer(slim.verified),
        _format_counts(None if measured.checked is None else measured.checked.counts),
        *_format_confinement(sample, measured.confined),
    )


def _format_target_result(sample: Sample, slimmed: SlimResult) -> str:
    met = targets.meets_target(sample, slimmed)
    return (
        NONE
        if met is None
        else f"{_format_target(sample, slimmed)}: {_format_answer(met, sample.over)}"
    )


def _format_target(sample: Sample, slimmed: SlimResult) -> str:
    return f"{targets.parse_target(sample.target or '', slimmed.binary) / targets.MB:.1f}"


def _format_times(times: StartTimes | None) -> str:
    return NONE if times is None else f"{times.full:.2f} / {times.slim:.2f}, {times.where}"


def _format_counts(counts: Mapping[str, int] | None) -> str:
    if counts is None:
        return NONE
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _format_confinement(sample: Sample, confined: Confinement | None) -> tuple[str, str]:
    if confined is None:
        return NONE, NONE
    serves = confined.privileges is None and confined.no_new_privileges is None
    return _format_answer(serves), _format_answer(confined.hardened is None, sample.needs)


def _format_answer(is_so: bool, why: str | None = None) -> str:
    if is_so:
        return "yes"
    return f"no: {why}" if why else "**no**"


def make_levels_table(results: Results) -> str:
    """Markdown, a row per sample: the size of each level, and the probes that work."""
    columns = ("sample", *LEVELS, "files", "verified", "late paths that work")
    rules = ("---", *("---:",) * (len(LEVELS) + 1), "---", "---")
    rows = [_make_levels_row(sample, slimmed) for sample, slimmed, _ in results]
    return _format_rows([columns, rules, *rows])


def _make_levels_row(sample: Sample, slimmed: SlimResult) -> tuple[str, ...]:
    levels = slimmed.levels.values()
    return (
        _make_link(sample),
        *(_format_sizes(level.unpacked, level.compressed) for level in levels),
        " / ".join(f"{level.files:,}" for level in levels),
        _format_answer(all(level.verified for level in levels)),
        " / ".join(_format_answers(level) for level in levels),
    )


def _format_rows(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _make_link(sample: Sample) -> str:
    return f"[{sample.name}]({sample.name}/sample.toml)"


def _format_answers(level: Level) -> str:
    return f"{sum(answer.worked for answer in level.answers.values())} of {len(level.answers)}"


def _format_sizes(unpacked: int, compressed: int) -> str:
    """MB (10^6 bytes)."""
    return f"{unpacked / 1e6:.1f} ({compressed / 1e6:.1f})"


def _make_document(sample: Sample, slimmed: SlimResult, measured: Measurements) -> dict[str, Any]:
    met = targets.meets_target(sample, slimmed)
    return {
        "about": sample.about,
        "target": None
        if met is None
        else {"limit": sample.target, "met": met, "over": sample.over},
        **asdict(measured),
        "needs": sample.needs,
        "full": {
            "files": slimmed.files,
            "unpacked": slimmed.unpacked,
            "compressed": slimmed.compressed,
        },
        "levels": {
            name: {
                "files": level.files,
                "unpacked": level.unpacked,
                "compressed": level.compressed,
                "reasons": dict(level.reasons),
                "verified": level.verified,
                "probes": {probe: answer.worked for probe, answer in level.answers.items()},
            }
            for name, level in slimmed.levels.items()
        },
    }
