"""What a built image is likely to lack: the last lines of a build.

Only what costs little beside the build is looked at; the command ``suggest`` looks at more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.closure.rule import LimitCaution
from slimtrace.builder.suggest.clues import QUICK_FINDERS
from slimtrace.builder.suggest.rank import Suggestion, suggest

if TYPE_CHECKING:
    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_WEAKEST = 5
"""The weakest clue that is worth a line."""


def find_omissions(trace: Trace, root: Root, selection: Selection) -> tuple[Suggestion, ...]:
    """Find what the image is likely to lack: first what a limit stopped, then what has a clue.

    :raises SlimtraceError: a file of the full image cannot be read.
    """
    limits = [each.limit for each in selection.warnings if isinstance(each, LimitCaution)]
    stopped = [
        Suggestion(
            limit.folder,
            f"too large for the rule {limit.reason}, only what the runs used is in the image",
            limit.files,
            limit.size,
        )
        for limit in limits
    ]
    tops = tuple(f"{limit.folder}/" for limit in limits)
    others = suggest(trace, root, selection, QUICK_FINDERS, _WEAKEST)
    return (*stopped, *(each for each in others if not f"{each.path}/".startswith(tops)))
