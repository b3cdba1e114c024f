"""The size that a platform downloads before the app starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.filesize import decimal

from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    fails,
    only,
    passes,
    skips,
)
from slimtrace.builder.check.target_platform import TargetPlatform

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts

MAX_LAYER_BYTES = 50_000_000
"""Compressed size that AWS accepts for an edge function (Lambda@Edge quotas, origin events)."""


def _check_size(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    limit = MAX_LAYER_BYTES if facts.request.max_size is None else facts.request.max_size
    budget = f"the budget is {decimal(limit)}"
    if facts.compressed is not None:
        found = f"its layers are {decimal(facts.compressed)}, {budget}"
        return passes(found) if facts.compressed <= limit else fails(found)
    unpacked = sum(entry.size for entry in facts.entries.values())
    if unpacked <= limit:
        return passes(f"its files are {decimal(unpacked)}, {budget}")
    return skips("the size of its layers is not known in this form: check an archive or layout")


RULES = (
    CheckRule(
        "size",
        only(Severity.FAIL, TargetPlatform.EDGE),
        "Its layers, compressed, are within the budget.",
        "see what is kept with slimtrace build --json; leave out with --exclude or "
        "--without-rule, or allow more with --max-size",
        _check_size,
    ),
)
