"""Whether the image starts: as usual, read-only, without privileges, and as an unknown user."""

from __future__ import annotations

from functools import partial
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


def _check_start(start: StartMode, facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    trial = facts.starts.get(start)
    if trial is None:
        usual = facts.starts.get(StartMode.USUAL)
        is_worse = usual is not None and usual.failure is not None
        return skips("it does not start as usual either" if is_worse else facts.why_no_start)
    if trial.untried is not None:
        return skips(trial.untried)
    if trial.failure is not None:
        return fails(trial.failure, lines=trial.lines)
    return passes(
        _describe_start(trial) + (f" as {trial.user}" if start is not StartMode.READ_ONLY else "")
    )


def _describe_start(trial: TrialResult) -> str:
    if trial.ready is None:
        return "a job: it ended with exit status 0"
    return f"it was ready after {trial.ready:.2f} s"


def _check_ready_time(facts: ImageFacts, platform: TargetPlatform) -> RuleResult:
    trial = facts.starts.get(StartMode.USUAL)
    if trial is None or trial.ready is None:
        return skip_without_service(facts)
    own = PLATFORM_TRAITS[platform].startup or 0.0
    most = own if facts.request.startup is None else facts.request.startup
    found = f"it was ready after {trial.ready:.2f} s of {most:g}"
    return passes(found) if trial.ready <= most else fails(found)


RULES = (
    CheckRule(
        "starts",
        everywhere(Severity.FAIL),
        "It starts, and is ready in time; a job ends with exit status 0.",
        "see what it lacks: slimtrace verify IMAGE --trace TRACE; give it the platform's "
        "variables, volumes and arguments with --env, --volume and --; say with "
        "--ready when it is ready",
        partial(_check_start, StartMode.USUAL),
        StartMode.USUAL,
    ),
    CheckRule(
        "ready-in-time",
        only(
            Severity.FAIL,
            *(
                platform
                for platform in TargetPlatform
                if PLATFORM_TRAITS[platform].startup is not None
            ),
        ),
        "It is ready before the platform gives up.",
        "do less before it listens, or allow more time: a startupProbe, app_start_timeout_sec, or "
        "--startup here",
        _check_ready_time,
        StartMode.USUAL,
    ),
    CheckRule(
        "starts-read-only",
        only(
            Severity.WARN,
            TargetPlatform.KUBERNETES,
            TargetPlatform.ISTIO,
            TargetPlatform.EDGE,
            TargetPlatform.DOCKER,
        )
        | only(Severity.FAIL, TargetPlatform.KNATIVE),
        "It starts under a root that cannot be written, but for /tmp and /run.",
        "let it write to /tmp, or mount a volume (emptyDir) where it writes",
        partial(_check_start, StartMode.READ_ONLY),
        StartMode.READ_ONLY,
    ),
    CheckRule(
        "starts-unprivileged",
        everywhere(
            Severity.WARN, kubernetes=Severity.FAIL, knative=Severity.FAIL, istio=Severity.FAIL
        ),
        "It starts without capabilities, and not as root (Pod Security Standards, restricted).",
        "let it need no root: a port above 1023, files that its user may read (--grant-read) and "
        "write (--grant-write)",
        partial(_check_start, StartMode.UNPRIVILEGED),
        StartMode.UNPRIVILEGED,
    ),
    CheckRule(
        "starts-as-any-user",
        only(Severity.WARN, TargetPlatform.KUBERNETES),
        "It starts as a UID that is not in its /etc/passwd, in group 0, as on OpenShift.",
        "give what it reads and writes to group 0: chgrp 0, chmod g=u",
        partial(_check_start, StartMode.ANY_USER),
        StartMode.ANY_USER,
    ),
)
