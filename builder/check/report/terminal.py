"""A check for people: a line for each rule, with what to do beneath those that are broken."""

from __future__ import annotations

import os
import sys
import textwrap
from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import FindingStatus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.check.inspection import CheckReport, Finding

_COLOURS = {
    FindingStatus.PASS: 32,
    FindingStatus.WARN: 33,
    FindingStatus.FAIL: 31,
    FindingStatus.SKIP: 2,
}
"""ECMA-48, select graphic rendition."""
_WIDTH = 100
_PATHS = 5


def lines_of(checked: CheckReport) -> Iterator[str]:
    """The whole table, without a newline at the ends."""
    names = max(len(finding.rule.name) for finding in checked.findings)
    indent = 6 + names + 2
    coloured = is_coloured()
    for finding in checked.findings:
        status = finding.status.ljust(4)
        if coloured:
            status = f"\x1b[{_COLOURS[finding.status]}m{status}\x1b[0m"
        told = _plain(_told(finding, checked))
        yield f"{status}  {finding.rule.name.ljust(names)}  {told}"
        if finding.is_broken:
            yield from _beneath(finding, indent)
    yield ""
    platforms = ", ".join(checked.platforms)
    counts = [f"{checked.count(status)} {word}" for status, word in _WORDS.items()]
    yield f"{checked.image} for {platforms}: {', '.join(counts)}"


_WORDS = {
    FindingStatus.PASS: "passed",
    FindingStatus.WARN: "warned",
    FindingStatus.FAIL: "failed",
    FindingStatus.SKIP: "skipped",
}


def _told(finding: Finding, checked: CheckReport) -> str:
    marks = ["measured"] if finding.is_measured else []
    if finding.platforms != checked.platforms and finding.status is not FindingStatus.SKIP:
        marks += [*finding.platforms]
    return finding.verdict.detail + (f" ({', '.join(marks)})" if marks else "")


def _beneath(finding: Finding, indent: int) -> Iterator[str]:
    space = " " * indent
    paths = finding.verdict.paths
    for path in paths[:_PATHS]:
        yield f"{space}{_plain(path)}"
    if len(paths) > _PATHS:
        yield f"{space}and {len(paths) - _PATHS} more: --json names all"
    for line in finding.verdict.lines:
        yield f"{space}| {_plain(line)}"
    arrow = f"{space}-> "
    yield from textwrap.wrap(
        finding.rule.remedy,
        max(_WIDTH, indent + 40),
        initial_indent=arrow,
        subsequent_indent=f"{space}   ",
        break_on_hyphens=False,
        break_long_words=False,
    )


def _plain(text: str) -> str:
    """What an image says may not speak to the terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def is_coloured() -> bool:
    """Whether stdout is a terminal whose user takes colours (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
