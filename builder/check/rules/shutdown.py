"""Whether a service ends on its stop signal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    StartMode,
    everywhere,
    fails,
    grace_seconds,
    passes,
    skip_without_service,
)

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts
    from slimtrace.builder.check.target_platform import TargetPlatform


def _check_stop(facts: ImageFacts, platform: TargetPlatform) -> RuleResult:
    trial = facts.starts.get(StartMode.USUAL)
    if trial is None or trial.stopped is None:
        return skip_without_service(facts)
    stopped, grace = trial.stopped, grace_seconds(platform, facts.request.grace)
    if not stopped.was_killed and stopped.seconds <= grace:
        return passes(f"{stopped.signal} ended it in {stopped.seconds:.2f} s of {grace:g}")
    why = "" if stopped.is_handled else ": its process 1 does not handle it, so that it is lost"
    return fails(f"{stopped.signal} did not end it in {grace:g} s{why}")


RULES = (
    CheckRule(
        "stops-in-grace",
        everywhere(Severity.FAIL),
        "Its stop signal, sent to it as process 1, ends it before the platform kills it.",
        "handle the signal in the app, exec the app from its script, or start it by an init (tini, "
        "docker run --init); have the platform wait longer (--grace here)",
        _check_stop,
        StartMode.USUAL,
    ),
)
