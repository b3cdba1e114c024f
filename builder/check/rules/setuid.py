"""Files that give privileges to the user who executes them (inode(7), capabilities(7))."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.inspection import (
    CheckRule,
    RuleResult,
    Severity,
    everywhere,
    fails,
    passes,
)
from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from slimtrace.builder.check.inspection import ImageFacts
    from slimtrace.builder.check.target_platform import TargetPlatform

_SETUID, _SETGID = 0o4000, 0o2000
_CAPABILITY = "security.capability"


def _check_setuid(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    found = tuple(
        path
        for path, entry in facts.entries.items()
        if entry.kind is Kind.FILE and entry.mode & (_SETUID | _SETGID)
    )
    if found:
        return fails(f"setuid or setgid: {len(found)}", found)
    return passes("no file is setuid or setgid")


def _check_capabilities(facts: ImageFacts, _: TargetPlatform) -> RuleResult:
    found = tuple(
        path
        for path, entry in facts.entries.items()
        if any(name == _CAPABILITY for name, _ in entry.xattrs)
    )
    if found:
        return fails(f"with file capabilities: {len(found)}", found)
    return passes("no file has capabilities")


RULES = (
    CheckRule(
        "no-setuid",
        everywhere(Severity.FAIL),
        "No program in it runs as another user than its caller.",  # CIS Docker Benchmark, 4.8
        "leave it out with --exclude, or take the bits off in the full image: chmod a-s",
        _check_setuid,
    ),
    CheckRule(
        "no-file-capabilities",
        everywhere(Severity.WARN),
        "No program in it needs capabilities: under allowPrivilegeEscalation=false and drop ALL "
        "its exec fails.",
        "take them off in the full image: setcap -r; listen on a port above 1023 instead",
        _check_capabilities,
    ),
)
