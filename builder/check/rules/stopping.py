"""Whether a service ends when it is told to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from builder.check.grace import grace_of
from builder.check.rule import Level, Rule, Start, Verdict, breaks, everywhere, holds
from builder.check.seen import not_seen

if TYPE_CHECKING:
    from builder.check.facts import Facts
    from builder.check.platforms import Platform


def _ends(facts: Facts, platform: Platform) -> Verdict:
    tried = facts.starts.get(Start.USUAL)
    if tried is None or tried.stopped is None:
        return not_seen(facts)
    stopped, grace = tried.stopped, grace_of(platform, facts.asked.grace)
    if stopped.was_killed or stopped.seconds > grace:
        return breaks(f"{stopped.signal} did not end it in {grace:g} s")
    return holds(f"{stopped.signal} ended it in {stopped.seconds:.2f} s of {grace:g}")


def _handles(facts: Facts, _: Platform) -> Verdict:
    tried = facts.starts.get(Start.USUAL)
    if tried is None or tried.stopped is None:
        return not_seen(facts)
    name = tried.stopped.signal
    if tried.stopped.is_handled:
        return holds(f"its first process handles {name}")
    return breaks(
        f"its first process does not handle {name}, which is lost on process 1 of a container"
    )


RULES = (
    Rule(
        "stops-in-grace",
        everywhere(Level.FAIL),
        "Its stop signal ends it before the platform kills it.",
        "let it end at its stop signal, close what is open, and not wait for idle connections; or "
        "have the platform wait longer (--grace here)",
        _ends,
        Start.USUAL,
    ),
    Rule(
        "handles-stop-signal",
        everywhere(Level.FAIL, docker=Level.WARN, edge=Level.WARN),
        "Its first process handles the stop signal, which the kernel else drops for process 1.",
        "handle the signal in the app, exec the app from its script, or start it by an init (tini, "
        "docker run --init)",
        _handles,
        Start.USUAL,
    ),
)
