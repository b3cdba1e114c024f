"""The result of a verification, and its JSON document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimtrace.tracer.text import replace_surrogates

if TYPE_CHECKING:
    from slimtrace.builder.verify.compare import RunOutcome
    from slimtrace.builder.verify.missing_files import MissingFile


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one verification, after its last round.

    :ivar missing: files that a run looked up, that are in the full image and not in the slim one.
    :ivar left_out: the same, but left out on purpose: no fault.
    :ivar healed: added files, by the path that was looked up.
    :ivar hints: what may explain the differences, and what to do.
    :ivar not_repeated: what was part of the traced runs, and was not tried.
    :ivar is_rebuilt: whether it is about a new image, in which something went better.
    :ivar rounds: how often all runs were repeated.
    """

    image: str
    outcomes: tuple[RunOutcome, ...]
    missing: tuple[MissingFile, ...]
    left_out: tuple[MissingFile, ...]
    healed: tuple[str, ...] = ()
    rounds: int = 1
    hints: tuple[str, ...] = ()
    not_repeated: tuple[str, ...] = ()
    is_rebuilt: bool = False

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
            "missing": [_missing_document(item) for item in self.missing],
            "left_out": [_missing_document(item) for item in self.left_out],
            "not_repeated": [replace_surrogates(text) for text in self.not_repeated],
            "hints": [replace_surrogates(text) for text in self.hints],
            "healed": [replace_surrogates(path) for path in self.healed],
        }


def is_better(verdict: Verdict, other: Verdict) -> bool:
    """Whether there are fewer differences, or as many and something is missing no more.

    New missing files do not count: an app that gets further may look for more.
    """
    if verdict.differences < other.differences:
        return True
    missing = {item.path for item in verdict.missing}
    is_found = any(item.path not in missing for item in other.missing)
    return is_found and verdict.differences <= other.differences


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


def _missing_document(item: MissingFile) -> dict[str, Any]:
    why = {} if item.on_purpose is None else {"why": replace_surrogates(item.on_purpose)}
    processes = [replace_surrogates(command) for command in item.processes]
    return {"path": replace_surrogates(item.path), "processes": processes, **why}
