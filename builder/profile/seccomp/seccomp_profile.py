"""The seccomp profile as a document for docker, podman, cri-o, containerd and Kubernetes.

It is the object ``linux.seccomp`` of the OCI runtime-spec (config-linux.md), with ``comment`` as in
Docker's own profiles.
"""

from __future__ import annotations

from errno import EPERM
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.profile.seccomp.architectures import Architectures
    from slimtrace.builder.profile.seccomp.seccomp_rules import ArgumentTest, SeccompRule


def to_profile(machines: Architectures, rules: Iterable[SeccompRule]) -> dict[str, Any]:
    """The profile; a call in no rule fails with EPERM."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": EPERM,
        "architectures": list(machines.architectures),
        "syscalls": [_rule(rule) for rule in rules],
    }


def _rule(rule: SeccompRule) -> dict[str, Any]:
    action: dict[str, Any] = {"action": "SCMP_ACT_ALLOW"}
    if rule.errno is not None:
        action = {"action": "SCMP_ACT_ERRNO", "errnoRet": rule.errno}
    arguments = {} if rule.test is None else {"args": [_argument(rule.test)]}
    return {"names": list(rule.names), **action, **arguments, "comment": rule.why}


def _argument(test: ArgumentTest) -> dict[str, Any]:
    """With a mask: ``value`` is the mask, ``valueTwo`` the result (seccomp_rule_add(3))."""
    if test.mask is None:
        return {"index": test.index, "value": test.value, "op": "SCMP_CMP_EQ"}
    return {
        "index": test.index,
        "value": test.mask,
        "valueTwo": test.value,
        "op": "SCMP_CMP_MASKED_EQ",
    }
