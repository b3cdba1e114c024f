"""Files that rules keep as a part of the application, though no run used them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind, Reason

if TYPE_CHECKING:
    from slimtrace.builder.model import Entry, Selection


@dataclass(frozen=True, slots=True)
class UnusedFiles:
    """Files of one folder that are in the image by the rule ``own-folder`` alone.

    :ivar path: the folder, or the only file.
    :ivar files: their number; ``size`` their bytes.
    """

    path: str
    files: int
    size: int


def find_unused(selection: Selection) -> tuple[UnusedFiles, ...]:
    """Find them, folder by folder, the largest first."""
    folders: dict[str, list[Entry]] = defaultdict(list)
    for path, entry in selection.entries.items():
        if entry.kind is Kind.FILE and entry.reasons[:1] == (Reason.OWN_FOLDER,):
            folders[path.rpartition("/")[0] or "/"].append(entry)
    found = [
        UnusedFiles(
            folder if len(entries) > 1 else entries[0].path,
            len(entries),
            sum(entry.size for entry in entries),
        )
        for folder, entries in folders.items()
    ]
    return tuple(sorted(found, key=lambda each: (-each.size, each.path)))
