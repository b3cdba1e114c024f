"""What rules about services say of what is none, or was not seen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.rule import Start, Verdict, skipped

if TYPE_CHECKING:
    from slimtrace.builder.check.facts import Facts


def not_seen(facts: Facts) -> Verdict:
    """Why there is nothing to say of the service."""
    tried = facts.starts.get(Start.USUAL)
    if tried is None:
        return skipped(facts.why_no_start)
    if tried.is_job:
        return skipped("it is a job: it ended by itself with exit status 0")
    return skipped("it did not start")
