"""The files that a slim image lacked, and the questions that they stand behind."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from slimtrace.builder.verify.missing_files import MissingFile, find_missing
from slimtrace.tracer.environment import DEFAULT_PATH

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence

    from slimtrace.builder.compare.comparison import ComparedAnswer
    from slimtrace.builder.compare.image_start import ImageStart
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.selection.globs import Glob
    from slimtrace.tracer.trace.answers import Answer
    from slimtrace.tracer.trace.trace import Run, Trace

START = ("start", -1)
"""The question whether an image starts at all: its name and number among a run's answers."""
END = "end"


class MissedFiles:
    """The files that a slim image lacked, and when it looked for them.

    :ivar files: by the path that was looked up.
    """

    def __init__(self, full: Root, slim: Root, trace: Trace, ignored: Sequence[Glob]) -> None:
        """:param trace: of the same questions in the full image."""
        self.files: dict[str, MissingFile] = {}
        self._full, self._slim = full, slim
        self._find: Callable[[Trace], tuple[MissingFile, ...]] = lambda verified: find_missing(
            full, slim, trace, verified, ignored
        )
        self._behind: dict[tuple[int, str, int], dict[str, MissingFile]] = {}

    def add(self, start: ImageStart) -> None:
        """Add what was looked for in one start of the slim image."""
        for number, run in enumerate(start.runs, start=1):
            found = {item.path: item for item in self._find(run.trace)}
            for path, item in found.items():
                self.files.setdefault(path, item)
            if run.failure is not None:
                self._behind.setdefault((number, *START), {}).update(found)
            for key, (answer, _) in run.answers.items():
                behind = {
                    path: item
                    for path, item in found.items()
                    if _is_behind(item, answer, run.trace)
                }
                self._behind.setdefault((number, *key), {}).update(behind)

    def add_program(self, answer: ComparedAnswer, runs: Sequence[Run]) -> None:
        """Add the program of a command that the slim image could not start.

        slimtrace itself looks for it, so no trace shows that.
        """
        if answer.slim is not None and answer.slim.status is not None:
            return
        run = runs[answer.key[0] - 1]
        words = run.command if answer.key[1:] == START else _split(answer.key[1])
        if not words:
            return
        for path in _list_places(words[0], run.env.get("PATH", DEFAULT_PATH)):
            there = self._full.resolve(path)
            if there.exists:
                if not self._slim.resolve(path).exists:
                    item = MissingFile(path, there.path, (" ".join(words),))
                    self.files.setdefault(path, item)
                    self._behind.setdefault(answer.key, {})[path] = item
                return

    def list_behind(
        self, key: tuple[int, str, int], names: Container[str]
    ) -> tuple[MissingFile, ...]:
        """The files that were looked for when a question was answered.

        :param names: the paths to tell of.
        """
        found = self._behind.get(key, {})
        return tuple(item for path, item in found.items() if path in names)


def _is_behind(item: MissingFile, answer: Answer, trace: Trace) -> bool:
    """Whether a file was first looked for when an answer was given, or by its own command."""
    seen = trace.paths.get(item.path)
    if seen is not None and answer.began <= seen.first_seen <= answer.ended:
        return True
    return " ".join(_split(answer.driver)) in item.processes


def _split(driver: str) -> tuple[str, ...]:
    """The arguments of a command; none for one that only a shell understands."""
    try:
        return tuple(shlex.split(driver))
    except ValueError:
        return ()


def _list_places(program: str, folders: str) -> Iterator[str]:
    if "/" in program:
        yield program
        return
    for folder in folders.split(":"):
        if folder.startswith("/"):
            yield f"{folder.rstrip('/')}/{program}"
