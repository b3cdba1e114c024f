"""Where a service listens, and whether it responds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    StartMode,
    everywhere,
    fails,
    only,
    passes,
    skip_without_service,
    skips,
)
from slimtrace.builder.check.target_platform import PLATFORM_TRAITS, TargetPlatform

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts
    from slimtrace.tracer.startup.trial import TrialResult

_SIDECAR_PORTS = frozenset((15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090))
"""Istio's own ports in a pod (istio.io, "Application Requirements")."""
_PLATFORMS_WITH_PORT = tuple(
    platform for platform in TargetPlatform if PLATFORM_TRAITS[platform].sets_port
)
_NO_PORT = "it listens on no TCP port"


def _find_service(facts: ImageFacts) -> TrialResult | None:
    """The usual start, if a service was ready in it."""
    trial = facts.starts.get(StartMode.USUAL)
    return None if trial is None or trial.ready is None else trial


def _check_port(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    trial = _find_service(facts)
    if trial is None:
        return skip_without_service(facts)
    if any(each.port == facts.port for each in trial.listening):
        return passes(f"with PORT={facts.port} it listens there")
    return fails(f"with PORT={facts.port} {_describe_listeners(trial)}")


def _check_address(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    trial = _find_service(facts)
    if trial is None:
        return skip_without_service(facts)
    if not trial.listening:
        return skips(_NO_PORT)
    at_port = [each for each in trial.listening if each.port == facts.port] or trial.listening
    if any(each.is_outside for each in at_port):
        return passes(_describe_listeners(trial))
    return fails(f"{_describe_listeners(trial)}, where nothing outside reaches it")


def _check_answer(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    trial = _find_service(facts)
    if trial is None:
        return skip_without_service(facts)
    if trial.answer is None:
        return fails(_NO_PORT)
    if trial.answer.status is None:
        return fails(f"a GET by HTTP/1.1 failed: {trial.answer.failure}")
    return passes(f"a GET was answered {trial.answer.status} by {trial.answer.version}")


def _check_sidecar_ports(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    trial = _find_service(facts)
    if trial is None:
        return skip_without_service(facts)
    taken = sorted(each.port for each in trial.listening if each.port in _SIDECAR_PORTS)
    if taken:
        return fails(f"it listens on {', '.join(map(str, taken))}, which is the sidecar's")
    return passes("it uses no port of the sidecar")


def _check_exposed(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    trial = facts.starts.get(StartMode.USUAL)
    if not facts.config:
        return skips("it has no configuration that could expose a port")
    if trial is not None and trial.failure is None and not trial.listening:
        return skips("it is no service" if trial.is_job else _NO_PORT)
    ports = facts.get_keys("ExposedPorts")
    return passes(f"it exposes {', '.join(ports)}") if ports else fails("it exposes no port")


def _describe_listeners(trial: TrialResult) -> str:
    if not trial.listening:
        return _NO_PORT
    return f"it listens on {', '.join(map(str, trial.listening))}"


RULES = (
    CheckRule(
        "port-honoured",
        only(Severity.FAIL, *_PLATFORMS_WITH_PORT),
        "It listens on the port that PORT names.",
        "let the app take its port from PORT, as in gunicorn's --bind 0.0.0.0:$PORT",
        _check_port,
        StartMode.USUAL,
    ),
    CheckRule(
        "listens-outside",
        everywhere(Severity.FAIL),
        "It listens where probes and requests from outside its container reach it.",
        "let it bind to 0.0.0.0 or ::, not to 127.0.0.1 or localhost",
        _check_address,
        StartMode.USUAL,
    ),
    CheckRule(
        "answers-http",
        only(Severity.FAIL, *_PLATFORMS_WITH_PORT),
        "It answers a request by HTTP/1 on its port.",
        "let it speak HTTP/1.1 without TLS: the platform ends TLS before it",
        _check_answer,
        StartMode.USUAL,
    ),
    CheckRule(
        "sidecar-ports",
        only(Severity.FAIL, TargetPlatform.ISTIO),
        "It does not listen on ports of Istio's sidecar.",
        "let it listen on another port",
        _check_sidecar_ports,
        StartMode.USUAL,
    ),
    CheckRule(
        "exposed-port",
        only(Severity.WARN, TargetPlatform.DOCKER, TargetPlatform.EDGE),
        "It says which port it serves.",
        "build it with --expose PORT, or from a trace in which it listened",
        _check_exposed,
    ),
)
