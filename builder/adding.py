"""Puts into a selection what the closure did not bring, with the directories above it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.folders import as_traced
from slimtrace.builder.images.root import parents
from slimtrace.builder.model import Entry, Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.images.root import Root
    from slimtrace.builder.model import Selection


def add_entries(selection: Selection, root: Root, entries: Iterable[Entry]) -> Selection:
    """The selection with these entries, each in the place of one that was at its path.

    The directories above come from the full image; one that it lacks is root's, and as old as
    what lies in it.
    """
    new: dict[str, Entry] = {}
    for entry in entries:
        new[entry.path] = entry
        for parent in parents(entry.path):
            if parent not in new and parent not in selection.entries:
                new[parent] = _folder(root, parent, entry.mtime_ns)
    # The folders of a live system change whenever something is made in them.
    added = as_traced(replace(selection, entries=new), {}, live=root.root == "/").entries
    return replace(selection, entries=dict(sorted({**selection.entries, **added}.items())))


def written(
    root: Root, path: str, content: bytes, reasons: tuple[Reason, ...], mtime_ns: int
) -> list[Entry]:
    """The entries for a file that the build makes: root's and readable; and the links to it.

    :param path: as it is looked up in the full image, which need not have it.
    """
    found = root.resolve(path)
    file = Entry(found.path, Kind.FILE, 0o644, 0, 0, mtime_ns, len(content))
    links = [root.entry(link, reasons) for link in found.links]
    return [*links, replace(file, content=content, reasons=reasons)]


def _folder(root: Root, path: str, mtime_ns: int) -> Entry:
    if root.kind(path) is Kind.DIRECTORY:
        return root.entry(path, (Reason.DIRECTORY,))
    return Entry(path, Kind.DIRECTORY, 0o755, 0, 0, mtime_ns, reasons=(Reason.DIRECTORY,))
