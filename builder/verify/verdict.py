"""What a verification found, for people and for ``verify --json``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimtrace.builder.terminal_text import printable

if TYPE_CHECKING:
    from slimtrace.builder.verify.compare import RunOutcome
    from slimtrace.builder.verify.missing_files import MissingFile


@dataclass(frozen=True, slots=True)
class Verdict:
    """One verification, after the last of its rounds.

    :ivar lacking: what was looked for, is in the full image, and not in the slim one.
    :ivar left_out: the same, where that was asked for: no fault.
    :ivar healed: what was added, by the path that was looked up.
    :ivar rounds: how often all runs were repeated.
    """

    image: str
    outcomes: tuple[RunOutcome, ...]
    lacking: tuple[MissingFile, ...]
    left_out: tuple[MissingFile, ...]
    healed: tuple[str, ...] = ()
    rounds: int = 1

    @property
    def passed(self) -> bool:
        """Whether the answer is yes."""
        return not self.lacking and not self.differences

    @property
    def differences(self) -> int:
        """How many answers of the runs differ from those that were traced."""
        return sum(len(outcome.differences) for outcome in self.outcomes)

    def document(self) -> dict[str, Any]:
        """The document that ``verify --json`` prints."""
        return {
            "image": printable(self.image),
            "verified": self.passed,
            "rounds": self.rounds,
            "runs": [_outcome_document(outcome) for outcome in self.outcomes],
            "missing": [_missing_document(item) for item in self.lacking],
            "left_out": [_missing_document(item) for item in self.left_out],
            "healed": [printable(path) for path in self.healed],
        }


def is_better(verdict: Verdict, other: Verdict) -> bool:
    """Whether the runs found what the other verdict misses, and no more of them went otherwise.

    What they miss now is not counted: an app that gets further may look for more.
    """
    missing = {item.path for item in verdict.lacking}
    has_found = any(item.path not in missing for item in other.lacking)
    return has_found and verdict.differences <= other.differences


def _outcome_document(outcome: RunOutcome) -> dict[str, Any]:
    before, now = outcome.before, outcome.now
    return {
        "command": [printable(word) for word in before.command],
        "exit_status": {"traced": before.exit_status, "now": now and now.exit_status},
        "ready": {
            "traced": before.driven and before.driven.ready,
            "now": now and now.driven and now.driven.ready,
        },
        "differences": [printable(text) for text in outcome.differences],
    }


def _missing_document(item: MissingFile) -> dict[str, Any]:
    why = {} if item.on_purpose is None else {"why": printable(item.on_purpose)}
    processes = [printable(words) for words in item.processes]
    return {"path": printable(item.path), "processes": processes, **why}
