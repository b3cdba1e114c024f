"""What has to be fetched before it starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    breaks,
    holds,
    only,
    skipped,
)
from slimtrace.builder.check.target_platform import TargetPlatform

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts

MOST = 50_000_000
"""Bytes: what AWS takes of a function that runs at its edge, compressed (Lambda@Edge quotas,
origin events: 50 MB)."""


def _size(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    most = MOST if facts.asked.max_size is None else facts.asked.max_size
    budget = f"the budget is {_mb(most)}"
    if facts.compressed is not None:
        found = f"its layers are {_mb(facts.compressed)}, {budget}"
        return holds(found) if facts.compressed <= most else breaks(found)
    whole = sum(entry.size for entry in facts.entries.values())
    if whole <= most:
        return holds(f"its files are {_mb(whole)}, {budget}")
    return skipped("the size of its layers is not known in this form: check an archive or layout")


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"


RULES = (
    CheckRule(
        "size",
        only(Severity.FAIL, TargetPlatform.EDGE),
        "Its layers, compressed, are within the budget.",
        "see what is kept with slimtrace build --json; leave out with --exclude or "
        "--without-rule, or allow more with --max-size",
        _size,
    ),
)
