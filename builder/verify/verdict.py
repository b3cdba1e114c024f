"""The result of a verification, and its JSON document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimtrace.builder.verify.healing import Examination
from slimtrace.builder.verify.missing_files import describe_missing
from slimtrace.tracer.text import replace_surrogates

if TYPE_CHECKING:
    from slimtrace.builder.verify.run_outcome import RunOutcome


@dataclass(frozen=True, slots=True)
class Verdict(Examination):
    """The result of one verification.

    :ivar not_repeated: what was part of the traced runs, and was not tried.
    :ivar hints: what may explain the differences, and what to do.
    """

    image: str
    outcomes: tuple[RunOutcome, ...]
    not_repeated: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is missing and no run differs."""
        return not self.missing and not self.differences

    @property
    def differences(self) -> int:
        """The number of differences from the traced runs."""
        return sum(len(outcome.differences) for outcome in self.outcomes)

    def document(self) -> dict[str, Any]:
        """The document that ``verify --json`` prints."""
        return {
            "image": replace_surrogates(self.image),
            "verified": self.passed,
            "rounds": self.rounds,
            "runs": [_outcome_document(outcome) for outcome in self.outcomes],
            "missing": [describe_missing(item) for item in self.missing],
            "left_out": [describe_missing(item) for item in self.left_out],
            "not_repeated": [replace_surrogates(text) for text in self.not_repeated],
            "hints": [replace_surrogates(text) for text in self.hints],
            "healed": [replace_surrogates(path) for path in self.healed],
        }


def _outcome_document(outcome: RunOutcome) -> dict[str, Any]:
    before, now = outcome.before, outcome.now
    return {
        "command": [replace_surrogates(argument) for argument in before.command],
        "exit_status": {"traced": before.exit_status, "now": now and now.exit_status},
        "ready": {
            "traced": before.drive_result and before.drive_result.ready,
            "now": now and now.drive_result and now.drive_result.ready,
        },
        "differences": [replace_surrogates(text) for text in outcome.differences],
    }
