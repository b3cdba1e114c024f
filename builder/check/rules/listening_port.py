"""Where a service listens, and whether it answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    StartMode,
    breaks,
    everywhere,
    holds,
    not_seen,
    only,
    skipped,
)
from slimtrace.builder.check.target_platform import HABITS, TargetPlatform

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts
    from slimtrace.tracer.startup.trial import TrialResult

_SIDECAR = frozenset((15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090))
"""Istio's own ports in a pod (istio.io, "Application Requirements")."""
_SET_PORT = tuple(platform for platform in TargetPlatform if HABITS[platform].sets_port)
_NOWHERE = "it listens on no TCP port"


def _usual(facts: ImageFacts) -> TrialResult | None:
    """A service that was ready."""
    tried = facts.starts.get(StartMode.USUAL)
    return None if tried is None or tried.ready is None else tried


def _honours(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    tried = _usual(facts)
    if tried is None:
        return not_seen(facts)
    if any(each.port == facts.port for each in tried.listening):
        return holds(f"with PORT={facts.port} it listens there")
    return breaks(f"with PORT={facts.port} {_where(tried)}")


def _outside(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    tried = _usual(facts)
    if tried is None:
        return not_seen(facts)
    if not tried.listening:
        return skipped(_NOWHERE)
    at_port = [each for each in tried.listening if each.port == facts.port] or tried.listening
    if any(each.is_outside for each in at_port):
        return holds(_where(tried))
    return breaks(f"{_where(tried)}, where nothing outside reaches it")


def _answers(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    tried = _usual(facts)
    if tried is None:
        return not_seen(facts)
    if tried.answer is None:
        return breaks(_NOWHERE)
    if tried.answer.status is None:
        return breaks(f"a GET by HTTP/1.1 failed: {tried.answer.failure}")
    return holds(f"a GET was answered {tried.answer.status} by {tried.answer.version}")


def _avoids(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    tried = _usual(facts)
    if tried is None:
        return not_seen(facts)
    taken = sorted(each.port for each in tried.listening if each.port in _SIDECAR)
    if taken:
        return breaks(f"it listens on {', '.join(map(str, taken))}, which is the sidecar's")
    return holds("it leaves the sidecar's ports alone")


def _exposes(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    tried = facts.starts.get(StartMode.USUAL)
    if not facts.config:
        return skipped("it has no configuration that could expose a port")
    if tried is not None and tried.failure is None and not tried.listening:
        return skipped("it is no service" if tried.is_job else _NOWHERE)
    ports = facts.keys("ExposedPorts")
    return holds(f"it exposes {', '.join(ports)}") if ports else breaks("it exposes no port")


def _where(tried: TrialResult) -> str:
    if not tried.listening:
        return _NOWHERE
    return f"it listens on {', '.join(map(str, tried.listening))}"


RULES = (
    CheckRule(
        "port-honoured",
        only(Severity.FAIL, *_SET_PORT),
        "It listens on the port that PORT names.",
        "let the app take its port from PORT, as in gunicorn's --bind 0.0.0.0:$PORT",
        _honours,
        StartMode.USUAL,
    ),
    CheckRule(
        "listens-outside",
        everywhere(Severity.FAIL),
        "It listens where probes and requests from outside its container reach it.",
        "let it bind to 0.0.0.0 or ::, not to 127.0.0.1 or localhost",
        _outside,
        StartMode.USUAL,
    ),
    CheckRule(
        "answers-http",
        only(Severity.FAIL, *_SET_PORT),
        "It answers a request by HTTP/1 on its port.",
        "let it speak HTTP/1.1 without TLS: the platform ends TLS before it",
        _answers,
        StartMode.USUAL,
    ),
    CheckRule(
        "sidecar-ports",
        only(Severity.FAIL, TargetPlatform.ISTIO),
        "It does not listen on ports of Istio's sidecar.",
        "let it listen on another port",
        _avoids,
        StartMode.USUAL,
    ),
    CheckRule(
        "exposed-port",
        only(Severity.WARN, TargetPlatform.DOCKER, TargetPlatform.EDGE),
        "It says which port it serves.",
        "build it with --expose PORT, or from a trace in which it listened",
        _exposes,
    ),
)
