"""What came of all samples: for programs in results.json, for people in a table of README.md."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sample import HERE, LEVELS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sample import Sample
    from slimming import Level, Slimmed

    Found = Sequence[tuple[Sample, Slimmed]]

RESULTS = HERE / "results.json"
README = HERE / "README.md"
BEGIN, END = "<!-- make samples writes from here -->", "<!-- to here -->"


def surprises(sample: Sample, slimmed: Slimmed) -> Iterator[str]:
    """What is not as the sample expects it, in words."""
    for name, level in slimmed.levels.items():
        if not level.verified:
            yield f"{sample.name}: {name} is not verified: {', '.join(level.lacking)}"
        for probe in sample.probes:
            answer = level.answers[probe.name]
            if answer.worked != probe.works_at(name):
                how = "works at" if answer.worked else "fails at"
                yield f"{sample.name}: {probe.name} {how} {name}: {answer.said[-500:]}"


def write(found: Found) -> None:
    """Both files anew; of the README only what is between the marks."""
    document = {sample.name: _document(sample, slimmed) for sample, slimmed in found}
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    text = README.read_text()
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    README.write_text(f"{head}{BEGIN}\n{table(found)}{END}{tail}")


def table(found: Found) -> str:
    """A row for each sample in Markdown."""
    columns = ("sample", "full", *LEVELS, "files", "verified", "late paths that work")
    lines = [columns, ("---", *("---:",) * (len(LEVELS) + 2), "---", "---")]
    lines += [_row(sample, slimmed) for sample, slimmed in found]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _row(sample: Sample, slimmed: Slimmed) -> tuple[str, ...]:
    levels = slimmed.levels.values()
    passed = all(level.verified for level in levels)
    return (
        f"[{sample.name}]({sample.name}/sample.toml)",
        _sizes(slimmed.unpacked, slimmed.compressed),
        *(_sizes(level.unpacked, level.compressed) for level in levels),
        " / ".join(f"{count:,}" for count in (slimmed.files, *(it.files for it in levels))),
        "yes" if passed else "**no**",
        " / ".join(_working(level) for level in levels),
    )


def _working(level: Level) -> str:
    return f"{sum(answer.worked for answer in level.answers.values())} of {len(level.answers)}"


def _sizes(unpacked: int, compressed: int) -> str:
    """MB (10^6 bytes)."""
    return f"{unpacked / 1e6:.1f} ({compressed / 1e6:.1f})"


def _document(sample: Sample, slimmed: Slimmed) -> dict[str, Any]:
    return {
        "about": sample.about,
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
