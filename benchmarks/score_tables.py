"""Formats the scores of apps: a line for each level, and one for each app."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from scored_app import Score

    Scores = Mapping[str, Mapping[str, Score]]

_MEGABYTE = 1_000_000
_PLACES = {"README.md": "levels", "benchmarks/README.md": "apps"}
_MARKED = re.compile(
    r"(<!-- make sufficiency writes (\w+) from here -->\n).*?(<!-- to here -->)", re.DOTALL
)


def format_levels(scores: Scores) -> str:
    """One line for each level: answers, bytes and seconds of all apps."""
    levels = list(dict.fromkeys(level for each in scores.values() for level in each))
    rows = []
    for level in levels:
        found = [each[level] for each in scores.values() if level in each]
        same, answers = sum(each.same for each in found), sum(each.answers for each in found)
        size, full = sum(each.size for each in found), sum(each.full for each in found)
        whole = sum(each.same == each.answers for each in found)
        rows.append(
            (
                f"`{level}`",
                f"{same} of {answers} ({100 * same // max(answers, 1)} %)",
                f"{whole} of {len(found)}",
                f"{full / _MEGABYTE:,.0f} → {size / _MEGABYTE:,.0f}",
                f"{sum(each.seconds for each in found):.0f}",
            )
        )
    return _format(
        ("--keep", "same answers", "apps that lose none", "MB", "seconds to build"), rows
    )


def format_apps(scores: Scores) -> str:
    """One line for each app: answers and MB at each level."""
    levels = list(dict.fromkeys(level for each in scores.values() for level in each))
    rows = []
    for name, found in sorted(scores.items()):
        full = max(each.full for each in found.values())
        cells = (
            f"{each.same}/{each.answers}, {each.size / _MEGABYTE:.1f} MB, {each.seconds:.1f} s"
            for each in (found[level] for level in levels if level in found)
        )
        rows.append((name, f"{full / _MEGABYTE:.1f} MB", *cells))
    return _format(("app", "full", *levels), rows)


def write_tables(scores: Scores, top: Path) -> None:
    """Write the tables between their marks in the documentation."""
    tables = {"levels": format_levels(scores), "apps": format_apps(scores)}
    for name in _PLACES:
        path = top / name
        text = path.read_text()
        path.write_text(_MARKED.sub(lambda m: f"{m[1]}{tables[m[2]]}\n{m[3]}", text))


def _format(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
