"""A check for people: a line for each rule, with the remedy below each broken one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.table import Table
from rich.text import Text

from slimtrace.builder.check.inspection import FindingStatus
from slimtrace.tracer.stdout import make_table, render, stdout_width

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import RenderableType

    from slimtrace.builder.check.inspection import CheckReport, Finding

_STYLES = {
    FindingStatus.PASS: "green",
    FindingStatus.WARN: "yellow",
    FindingStatus.FAIL: "red",
    FindingStatus.SKIP: "dim",
}
_TOTALS = {
    FindingStatus.PASS: "passed",
    FindingStatus.WARN: "warned",
    FindingStatus.FAIL: "failed",
    FindingStatus.SKIP: "skipped",
}
_MAX_PATHS = 5
_MIN_REMEDY_WIDTH = 37


def render_report(report: CheckReport) -> list[str]:
    """The lines of the whole table, with escape codes where stdout is a coloured terminal."""
    name_width = max(len(finding.rule.name) for finding in report.findings)
    remedy_width = max(_MIN_REMEDY_WIDTH, stdout_width() - len("fail  ") - name_width - 2 - 3)
    rows = [
        (
            Text(finding.status, _STYLES[finding.status]),
            Text(finding.rule.name),
            Group(*_describe(finding, report, remedy_width)),
        )
        for finding in report.findings
    ]
    counts = ", ".join(f"{report.count(status)} {word}" for status, word in _TOTALS.items())
    total = f"{report.image} for {', '.join(report.platforms)}: {counts}"
    return render(make_table(rows), "", Text(total))


def _describe(finding: Finding, report: CheckReport, remedy_width: int) -> Iterator[RenderableType]:
    marks = ["measured"] if finding.is_measured else []
    if finding.platforms != report.platforms and finding.status is not FindingStatus.SKIP:
        marks += [*finding.platforms]
    result = finding.result
    yield _escape(result.detail + (f" ({', '.join(marks)})" if marks else ""))
    if not finding.is_broken:
        return
    yield from map(_escape, result.paths[:_MAX_PATHS])
    if len(result.paths) > _MAX_PATHS:
        yield Text(f"and {len(result.paths) - _MAX_PATHS} more: --json names all")
    yield from (_escape(f"| {line}") for line in result.lines)
    remedy = Table.grid(padding=(0, 1, 0, 0))
    remedy.add_column()
    remedy.add_column(max_width=remedy_width, overflow="fold")
    remedy.add_row("->", Text(finding.rule.remedy))
    yield remedy


def _escape(text: str) -> Text:
    """Text of an image, without characters that control a terminal."""
    return Text("".join(char if char.isprintable() else repr(char)[1:-1] for char in text))
