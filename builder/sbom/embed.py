"""Puts an image's SBOM into the image itself, for those who ask for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from builder.folders import as_traced
from builder.images.root import parents
from builder.model import Entry, Kind, Reason
from builder.sbom.document import render
from builder.sbom.facts import Subject
from builder.sbom.format import Format
from builder.sbom.gather import gather
from builder.sbom.subject import NAMELESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from builder.images.root import Root
    from builder.model import ImageConfig, Selection
    from builder.sbom.sums import Sums

FOLDER = "/usr/share/sbom"
"""Scanners know SBOMs by the endings of their names, wherever they lie."""


def embed_sboms(
    selection: Selection, formats: Iterable[str], root: Root, config: ImageConfig, sums: Sums
) -> Selection:
    """The selection with its SBOMs: they tell of all but themselves, and of no name and digest.

    The image's digest covers them, and is the same wherever the image goes.

    :param root: the full image.
    :raises SlimtraceError: a package database or a file cannot be read.
    """
    chosen = [Format(name) for name in dict.fromkeys(formats)]
    if not chosen:
        return selection
    about = Subject(NAMELESS, None, None, config.created)
    facts = gather(about, selection.entries, sums, root, is_full=True)
    mtime_ns = int(datetime.fromisoformat(config.created).timestamp()) * 10**9
    added: dict[str, Entry] = {}
    files: set[str] = set()
    place = root.resolve(FOLDER).path
    for each in chosen:
        path, data = f"{place}/{NAMELESS}{each.ending}", render(facts, each)
        entry = Entry(path, Kind.FILE, 0o644, 0, 0, mtime_ns, len(data), content=data)
        added[path] = replace(entry, reasons=(Reason.SBOM,))
        files.add(path)
        for parent in parents(path):
            added.setdefault(parent, _folder(root, parent, mtime_ns))
    new = as_traced(replace(selection, entries=added), {}, live=root.root == "/").entries
    old = {path: entry for path, entry in selection.entries.items() if path not in files}
    return replace(selection, entries=dict(sorted({**new, **old}.items())))


def _folder(root: Root, path: str, mtime_ns: int) -> Entry:
    if root.kind(path) is Kind.DIRECTORY:
        return root.entry(path, (Reason.DIRECTORY,))
    return Entry(path, Kind.DIRECTORY, 0o755, 0, 0, mtime_ns, reasons=(Reason.DIRECTORY,))
