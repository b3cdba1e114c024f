"""Whether a service ends when it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    StartMode,
    breaks,
    everywhere,
    grace_of,
    holds,
    not_seen,
)

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts
    from slimtrace.builder.check.target_platform import TargetPlatform


def _ends(facts: ImageFacts, platform: TargetPlatform) -> RuleResult:
    tried = facts.starts.get(StartMode.USUAL)
    if tried is None or tried.stopped is None:
        return not_seen(facts)
    stopped, grace = tried.stopped, grace_of(platform, facts.asked.grace)
    if not stopped.was_killed and stopped.seconds <= grace:
        return holds(f"{stopped.signal} ended it in {stopped.seconds:.2f} s of {grace:g}")
    why = "" if stopped.is_handled else ": its process 1 does not handle it, so that it is lost"
    return breaks(f"{stopped.signal} did not end it in {grace:g} s{why}")


RULES = (
    CheckRule(
        "stops-in-grace",
        everywhere(Severity.FAIL),
        "Its stop signal, sent to it as process 1, ends it before the platform kills it.",
        "handle the signal in the app, exec the app from its script, or start it by an init (tini, "
        "docker run --init); have the platform wait longer (--grace here)",
        _ends,
        StartMode.USUAL,
    ),
)
