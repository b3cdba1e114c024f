"""What came of one rule on some platforms."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slimtrace.builder.check.check import Checked
    from slimtrace.builder.check.platforms import Platform
    from slimtrace.builder.check.rule import Level, Rule, Verdict
    from slimtrace.tracer.trial.tried import Tried


class Status(StrEnum):
    PASS = "pass"  # noqa: S105 -- no password
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"

    @classmethod
    def of(cls, verdict: Verdict, level: Level) -> Status:
        """What a verdict comes to where the rule counts so much."""
        if verdict.holds is None:
            return cls.SKIP
        return cls.PASS if verdict.holds else cls(level)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one rule found, and on which platforms it means that.

    :ivar rule: compared by identity alone: it holds functions.
    """

    rule: Rule
    status: Status
    verdict: Verdict
    platforms: tuple[Platform, ...] = ()

    def __hash__(self) -> int:
        return hash((self.rule.name, self.status, self.verdict))

    @property
    def is_broken(self) -> bool:
        """Whether there is something to be done."""
        return self.status in {Status.WARN, Status.FAIL}

    @property
    def is_measured(self) -> bool:
        """Whether it was seen when the image was started."""
        return self.rule.start is not None and self.status is not Status.SKIP


def document(checked: Checked) -> dict[str, Any]:
    """All of it for ``--json``."""
    return {
        "image": checked.image,
        "digest": checked.digest,
        "platforms": [*checked.platforms],
        "passed": checked.passed,
        "counts": {str(status): checked.count(status) for status in Status},
        "rules": [_finding(finding) for finding in checked.findings],
        "starts": {str(start): _start(tried) for start, tried in checked.starts.items()},
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "rule": finding.rule.name,
        "status": finding.status,
        "platforms": [*finding.platforms],
        "measured": finding.is_measured,
        "detail": finding.verdict.detail,
        "proves": finding.rule.proves,
        "remedy": finding.rule.remedy if finding.is_broken else None,
        "paths": [path.encode("utf-8", "replace").decode() for path in finding.verdict.paths],
        "lines": [*finding.verdict.lines],
    }


def _start(tried: Tried) -> dict[str, Any]:
    return {
        "command": [*tried.command],
        "user": tried.user,
        "failure": tried.failure,
        "ready": tried.ready,
        "listening": [
            {"address": each.address, "port": each.port, "outside": each.is_outside}
            for each in tried.listening
        ],
        "exit_status": tried.exit_status,
        "answer": tried.answer
        and {"status": tried.answer.status, "version": tried.answer.version or None},
        "stopped": tried.stopped
        and {
            "signal": tried.stopped.signal,
            "seconds": tried.stopped.seconds,
            "handled": tried.stopped.is_handled,
            "killed": tried.stopped.was_killed,
        },
        "lines": [*tried.lines],
    }
