"""Takes runs out of traces, line by line: ``merge --drop-run``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.text import format_count
from slimtrace.tracer.trace.trace import State

if TYPE_CHECKING:
    from collections.abc import Collection

    from slimtrace.tracer.trace.trace import Run


def check_dropped_runs(runs: Collection[Run], dropped: Collection[int]) -> None:
    """:raises UsageError: there is no such run, or none would be left."""
    for number in sorted(dropped):
        if not 0 < number <= len(runs):
            count = format_count(len(runs), "run")
            raise UsageError(
                f"cannot drop run {number}: there is no such run, but {count}",
                "runs are numbered from 1, as show lists them, through all traces",
            )
    if runs and len({*dropped}) == len(runs):
        raise UsageError("cannot drop all runs: the trace would be empty")


class RunFilter:
    """Decides which lines of several traces, in order, stay; it numbers their runs anew.

    What stays means the same as before: a file that a dropped run made is still no file of the
    image, and copies of files from before a dropped run changed them stay.
    """

    def __init__(self, dropped: Collection[int]) -> None:
        """:param dropped: numbers of runs, from 1 through all traces."""
        self._dropped = frozenset(dropped)
        self._runs = 0
        self._kept = 0
        self._new_indexes: list[int] = []
        self._first_run = 0
        self._is_dropping = False
        self._made: set[str] = set()

    def begin_file(self) -> None:
        """The next line is of another trace."""
        self._first_run = self._runs
        self._is_dropping = False

    def admit(self, line: dict[str, Any]) -> bool:
        """Whether a line stays; it is changed where it refers to a run by its number."""
        if "use" in line:
            return self._admit_touch(line)
        if "run" in line and "process" not in line:
            return self._admit_run()
        if "jvm" in line or "jvm_b64" in line:
            index = self._first_run + line["of"]
            line["of"] = self._new_indexes[index]
            return index + 1 not in self._dropped
        is_of_the_file = not {"healed", "healed_b64", "save", "save_b64"}.isdisjoint(line)
        return is_of_the_file or not self._is_dropping

    def _admit_run(self) -> bool:
        self._runs += 1
        self._is_dropping = self._runs in self._dropped
        self._new_indexes.append(self._kept)
        self._kept += not self._is_dropping
        return not self._is_dropping

    def _admit_touch(self, line: dict[str, Any]) -> bool:
        path = line.get("path_b64") or line.get("path")
        if self._is_dropping:
            if line.get("was") == State.CREATED:
                self._made.add(str(path))
            return False
        if line.get("was") == State.FILE and str(path) in self._made:
            line["was"] = State.CREATED.value
            line.pop("stat", None)
        return True
