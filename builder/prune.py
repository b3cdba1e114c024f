"""Takes entries out of a selection and leaves it a tree."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.images.root import parents
from slimtrace.builder.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.model import Dropped, Selection


def without(
    selection: Selection, dropped: Iterable[Dropped], warnings: tuple[str, ...] = ()
) -> Selection:
    """The selection without these paths, whose records it gains.

    A directory stays while something beneath it does; one that was only on the way goes with
    the last of it.
    """
    records = {item.path: item for item in dropped}
    stay = {
        path
        for path, entry in selection.entries.items()
        if path not in records and entry.reasons != (Reason.DIRECTORY,)
    }
    stay |= {parent for path in stay for parent in parents(path)} | {"/"}
    kept = {path: entry for path, entry in selection.entries.items() if path in stay}
    gone = tuple(item for path, item in records.items() if path not in kept)
    return replace(
        selection,
        entries=kept,
        dropped=(*selection.dropped, *gone),
        warnings=(*selection.warnings, *warnings),
    )
