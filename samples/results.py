"""What came of all samples: for programs in results.json, for people in tables of README.md."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import targets
from sample import HERE, LEVELS
from slimming import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hardened import Confined
    from measuring import Measured
    from sample import Sample
    from slimming import Level, Slimmed
    from timing import Times

    Found = Sequence[tuple[Sample, Slimmed, Measured]]

RESULTS = HERE / "results.json"
README = HERE / "README.md"
NONE = "-"
"""What was not measured, or could not be here."""
BEGIN, END = "<!-- make samples writes from here -->", "<!-- to here -->"


def faults(sample: Sample, slimmed: Slimmed, measured: Measured) -> Iterator[str]:
    """All that is not as it is to be, in words."""
    yield from surprises(sample, slimmed)
    if measured.confined is not None:
        yield from unconfined(sample, measured.confined)


def surprises(sample: Sample, slimmed: Slimmed) -> Iterator[str]:
    """What is not as the sample expects it of its images, in words."""
    for name, level in slimmed.levels.items():
        if not level.verified:
            yield f"{sample.name}: {name} is not verified: {', '.join(level.lacking)}"
        for probe in sample.probes:
            answer = level.answers[probe.name]
            if answer.worked != probe.works_at(name):
                how = "works at" if answer.worked else "fails at"
                yield f"{sample.name}: {probe.name} {how} {name}: {answer.said[-500:]}"
    met = targets.is_met(sample, slimmed)
    if met is not None and met != (sample.over is None):
        size = slimmed.levels[DEFAULT].unpacked / targets.MB
        wanted = f"{_target(sample, slimmed)} at most{', and needs no excuse' * met}"
        yield f"{sample.name}: it has {size:.1f} MB unpacked, and is to have {wanted}"


def unconfined(sample: Sample, confined: Confined) -> Iterator[str]:
    """How it does not serve under its own profile, or hardened though it is to, in words."""
    faults = {
        "without no_new_privs": confined.privileges,
        "with no_new_privs": confined.no_new_privileges,
    }
    for how, fault in faults.items():
        if fault is not None:
            yield f"{sample.name}: its seccomp profile is too narrow {how}: {fault}"
    if (confined.hardened is None) != (sample.needs is None):
        yield f"{sample.name}: hardened: {confined.hardened or 'it serves, so it needs no excuse'}"


def write(found: Found) -> None:
    """Both files anew; of the README only what is between the marks."""
    document = {each[0].name: _document(*each) for each in found}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    text = README.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    tables = f"{table(found)}\n{levels_table(found)}"
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


def table(found: Found) -> str:
    """A row for each sample in Markdown: the full image and that which build makes by default."""
    return _markdown([tuple(COLUMNS), tuple(COLUMNS.values()), *(_row(*each) for each in found)])


def _row(sample: Sample, slimmed: Slimmed, measured: Measured) -> tuple[str, ...]:
    slim = slimmed.levels[DEFAULT]
    return (
        _link(sample),
        f"{slimmed.unpacked / 1e6:.1f} → {slim.unpacked / 1e6:.1f}",
        _target_met(sample, slimmed),
        f"{slimmed.files:,} → {slim.files:,}",
        f"{slimmed.compressed / 1e6:.1f} → {slim.compressed / 1e6:.1f}",
        _times(measured.times),
        _counts(measured.packages),
        _yes(slim.verified),
        _counts(None if measured.checked is None else measured.checked.counts),
        *_confined(sample, measured.confined),
    )


def _target_met(sample: Sample, slimmed: Slimmed) -> str:
    met = targets.is_met(sample, slimmed)
    return NONE if met is None else f"{_target(sample, slimmed)}: {_yes(met, sample.over)}"


def _target(sample: Sample, slimmed: Slimmed) -> str:
    return f"{targets.limit(sample.target or '', slimmed.binary) / targets.MB:.1f}"


def _times(times: Times | None) -> str:
    return NONE if times is None else f"{times.full:.2f} / {times.slim:.2f}, {times.where}"


def _counts(counts: Mapping[str, int] | None) -> str:
    if counts is None:
        return NONE
    return ", ".join(f"{count} {name}" for name, count in counts.items() if count)


def _confined(sample: Sample, confined: Confined | None) -> tuple[str, str]:
    if confined is None:
        return NONE, NONE
    serves = confined.privileges is None and confined.no_new_privileges is None
    return _yes(serves), _yes(confined.hardened is None, sample.needs)


def _yes(is_so: bool, why: str | None = None) -> str:
    if is_so:
        return "yes"
    return f"no: {why}" if why else "**no**"


def levels_table(found: Found) -> str:
    """A row for each sample in Markdown: what each level costs, and what works there."""
    columns = ("sample", *LEVELS, "files", "verified", "late paths that work")
    rules = ("---", *("---:",) * (len(LEVELS) + 1), "---", "---")
    rows = [_levels_row(sample, slimmed) for sample, slimmed, _ in found]
    return _markdown([columns, rules, *rows])


def _levels_row(sample: Sample, slimmed: Slimmed) -> tuple[str, ...]:
    levels = slimmed.levels.values()
    return (
        _link(sample),
        *(_sizes(level.unpacked, level.compressed) for level in levels),
        " / ".join(f"{level.files:,}" for level in levels),
        _yes(all(level.verified for level in levels)),
        " / ".join(_working(level) for level in levels),
    )


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _link(sample: Sample) -> str:
    return f"[{sample.name}]({sample.name}/sample.toml)"


def _working(level: Level) -> str:
    return f"{sum(answer.worked for answer in level.answers.values())} of {len(level.answers)}"


def _sizes(unpacked: int, compressed: int) -> str:
    """MB (10^6 bytes)."""
    return f"{unpacked / 1e6:.1f} ({compressed / 1e6:.1f})"


def _document(sample: Sample, slimmed: Slimmed, measured: Measured) -> dict[str, Any]:
    met = targets.is_met(sample, slimmed)
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
