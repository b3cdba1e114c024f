"""Which user the image runs as."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    everywhere,
    fails,
    only,
    passes,
    skips,
)
from slimtrace.builder.check.target_platform import TargetPlatform
from slimtrace.tracer.image.accounts import MAX_ID, is_valid_id

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts

_SIDECAR_ID = 1337
"""The UID of Istio's sidecar: its iptables rules do not redirect this user's traffic."""

_NO_CONFIG = "it has no configuration that names a user"
_REMEDY = "build it with --user 65532:65532"


def _check_known(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    user = facts.user
    if user.uid is None:
        return fails(f"the image's /etc/passwd has no {user.text.partition(':')[0]}")
    if user.gid is None:
        return fails(f"the image's /etc/group has no {user.text.partition(':')[2]}")
    if not (is_valid_id(user.uid) and is_valid_id(user.gid)):
        return fails(f"it would run as {user.uid}:{user.gid}: IDs are numbers from 0 to {MAX_ID}")
    return passes(f"it runs as {user.uid}:{user.gid}")


def _check_numeric(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    if not facts.config:
        return skips(_NO_CONFIG)
    if facts.user.is_numeric:
        return passes(f"its user is {facts.user.text}")
    if not facts.user.text:
        return fails("it names no user")
    return fails(f"its user is {facts.user.text}, a name, of which the kubelet cannot tell")


def _check_not_root(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    if not facts.config:
        return skips(_NO_CONFIG)
    if facts.user.uid is None:
        return skips("its user is not known")
    if facts.user.uid == 0:
        return fails("it runs as root")
    return passes(f"it runs as {facts.user.uid}")


def _check_not_sidecar(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    ids = {"user": facts.user.uid, "group": facts.user.gid}
    for what, number in ids.items():
        if number == _SIDECAR_ID:
            return fails(
                f"its {what} is {_SIDECAR_ID}, the sidecar's: its traffic passes by the proxy"
            )
    return passes(f"it runs as {facts.user.uid}:{facts.user.gid}")


RULES = (
    CheckRule(
        "known-user",
        everywhere(Severity.FAIL),
        "The image knows the user and group that it runs as.",
        "name a user of its /etc/passwd, or numbers: --user 65532:65532",
        _check_known,
    ),
    CheckRule(
        "numeric-user",
        everywhere(
            Severity.WARN, kubernetes=Severity.FAIL, knative=Severity.FAIL, istio=Severity.FAIL
        ),  # the kubelet's runAsNonRoot (pkg/kubelet/kuberuntime, verifyRunAsNonRoot)
        "Its user is a number, so that runAsNonRoot can be held to it.",
        _REMEDY,
        _check_numeric,
    ),
    CheckRule(
        "not-root",
        everywhere(
            Severity.WARN, kubernetes=Severity.FAIL, knative=Severity.FAIL, istio=Severity.FAIL
        ),
        "It does not run as root.",
        f"{_REMEDY}, with --grant-read and --grant-write where files are root's",
        _check_not_root,
    ),
    CheckRule(
        "not-the-sidecar",
        only(Severity.FAIL, TargetPlatform.ISTIO),
        "It is not taken for Istio's sidecar.",
        "choose another user and group than 1337",
        _check_not_sidecar,
    ),
)
