"""The result of a comparison, and its JSON document."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slimtrace.builder.verify.healing import Examination
from slimtrace.builder.verify.missing_files import describe_missing
from slimtrace.tracer.text import replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.compare.answer_difference import AnswerDifference
    from slimtrace.builder.verify.missing_files import MissingFile
    from slimtrace.tracer.trace.answers import Answer

_MIN_GROUP_FILES = 4
"""So many missing files of a folder are included by one glob."""
_MAX_SHALLOW_DEPTH = 2
"""A glob of a folder so near the root would include half of the system."""
_WILD = str.maketrans({char: f"[{char}]" for char in "*?["})


@dataclass(frozen=True, slots=True)
class ComparedAnswer:
    """A question that both images were asked.

    :ivar key: the number of the run, the driver, and which of its answers it is.
    :ivar question: a request, a command, or ``end`` for how the app ended.
    :ivar full: the full image's answer; None if only the slim one gave one.
    :ivar slim: the slim image's answer; None if it gave none.
    :ivar difference: how they differ; None if they do not.
    :ivar is_unstable: whether two starts of the full image answer so differently that nothing can
        be said.
    :ivar missing: the files that the slim image lacked when it was asked.
    """

    key: tuple[int, str, int]
    question: str
    full: Answer | None
    slim: Answer | None
    difference: AnswerDifference | None = None
    is_unstable: bool = False
    missing: tuple[MissingFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison(Examination):
    """The result of one comparison, after its last round.

    :ivar answers: all questions, in the order in which they were asked.
    :ivar starts: how often each image was started.
    :ivar missed: all files that the slim image was found to lack, also without a difference.
    :ivar hints: what may explain the differences, and what to do.
    """

    full: str
    slim: str
    answers: tuple[ComparedAnswer, ...]
    starts: dict[str, int]
    missed: tuple[MissingFile, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def differences(self) -> int:
        """The number of answers that differ."""
        return len(self.differing)

    @property
    def differing(self) -> tuple[ComparedAnswer, ...]:
        """The answers that differ."""
        return tuple(each for each in self.answers if each.difference is not None)

    @property
    def same(self) -> int:
        """The number of answers that do not differ."""
        return len(self.answers) - self.differences

    def document(self) -> dict[str, Any]:
        """The document that ``compare --json`` prints."""
        return {
            "full": replace_surrogates(self.full),
            "slim": replace_surrogates(self.slim),
            "same": self.differences == 0,
            "answers": {"all": len(self.answers), "same": self.same},
            "questions": [_describe(each) for each in self.answers],
            "missing": [describe_missing(item) for item in self.missing],
            "missed": [describe_missing(item) for item in self.missed],
            "left_out": [describe_missing(item) for item in self.left_out],
            "include": [*map(replace_surrogates, list_includes(self.missing))],
            "hints": [*map(replace_surrogates, self.hints)],
            "healed": [*map(replace_surrogates, self.healed)],
            "rounds": self.rounds,
            "starts": self.starts,
        }


def list_includes(missing: Iterable[MissingFile]) -> tuple[str, ...]:
    """The arguments of ``--include`` that add these files: a glob for several of one folder."""
    folders = defaultdict(set)
    for item in missing:  # the path as it was looked up, so that links on the way come, too
        path = item.own if ".." in item.path.split("/") else item.path
        folders[os.path.dirname(path)].add(path)
    found = []
    for folder, paths in sorted(folders.items()):
        is_deep = folder.count("/") > _MAX_SHALLOW_DEPTH
        if len(paths) >= _MIN_GROUP_FILES and is_deep:
            found.append(f"{folder.translate(_WILD)}/**")
        else:
            found += [path.translate(_WILD) for path in sorted(paths)]
    covers = [glob.removesuffix("**") for glob in found if glob.endswith("/**")]
    return tuple(
        glob
        for glob in found
        if not any(glob != f"{cover}**" and glob.startswith(cover) for cover in covers)
    )


def _describe(answer: ComparedAnswer) -> dict[str, Any]:
    difference = answer.difference
    return {
        "run": answer.key[0],
        "question": replace_surrogates(answer.question),
        "same": difference is None,
        **({"unstable": True} if answer.is_unstable else {}),
        "full": _describe_answer(answer.full),
        "slim": _describe_answer(answer.slim),
        **(
            {}
            if difference is None
            else {
                "difference": replace_surrogates(difference.fact),
                "lines": {
                    "full": replace_surrogates(difference.full),
                    "slim": replace_surrogates(difference.slim),
                },
                "missing": [describe_missing(item) for item in answer.missing],
            }
        ),
    }


def _describe_answer(answer: Answer | None) -> dict[str, Any] | None:
    if answer is None:
        return None
    return {"status": answer.status, "type": answer.media_type, "size": answer.size}
