"""Puts into a selection what the closure did not bring, with the directories above it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.model import Cause, Entry, KeptPath, Kind, Reason
from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Dropped, Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Fingerprint


def remove_paths(
    selection: Selection, dropped: Iterable[Dropped], warnings: tuple[str, ...] = ()
) -> Selection:
    """The selection without these paths, whose records it gains.

    A directory stays while something beneath it does; one that was only on the way goes with
    the last of it.
    """
    records = {item.path: item for item in dropped}
    entries = selection.entries
    stay = {
        path
        for path, entry in entries.items()
        if path not in records and entry.reasons != (Reason.DIRECTORY,)
    }
    stay |= {parent for path in stay for parent in list_parents(path)} | {"/"}
    kept = {path: entry for path, entry in entries.items() if path in stay}
    gone = tuple(
        replace(item, causes=entries[path].causes) if path in entries else item
        for path, item in records.items()
        if path not in kept
    )
    return replace(
        selection,
        entries=kept,
        dropped=(*selection.dropped, *gone),
        warnings=(*selection.warnings, *warnings),
    )


def restore_directories(selection: Selection, context: Context) -> Selection:
    """Give directories the metadata that they had during the run."""
    root = context.root
    traced = {
        root.resolve(seed.path, follow=seed.follow).path: seed.fingerprint
        for seed in selection.seeds
        if seed.fingerprint is not None
    }
    entries = _with_old_directories(selection.entries, traced, live=root.root == "/")
    return replace(selection, entries=entries)


def _with_old_directories(
    before: Mapping[str, Entry], traced: Mapping[str, Fingerprint], *, live: bool
) -> dict[str, Entry]:
    """The entries, with directories that do not depend on what happened since the run.

    :param traced: how the run saw directories, by own path.
    :param live: whether the full image is a running system. Its directories change whenever a
        file is created in them, even by the trace or the image itself, and the digest would
        change too. A directory that no run looked at gets the time of its newest file.
    """
    entries = dict(before)
    newest: dict[str, int] = {}
    for path, entry in before.items():
        if entry.kind is not Kind.DIRECTORY:
            for parent in list_parents(path):
                newest[parent] = max(newest.get(parent, 0), entry.mtime_ns)
    for path, entry in before.items():
        was = traced.get(path)
        if entry.kind is not Kind.DIRECTORY:
            continue
        if was is not None:
            mode = was.mode & 0o7777
            entries[path] = replace(
                entry, mode=mode, uid=was.uid, gid=was.gid, mtime_ns=was.mtime_ns
            )
        elif live:
            entries[path] = replace(entry, mtime_ns=newest.get(path, 0))
    return entries


def add_entries(selection: Selection, root: Root, entries: Iterable[Entry]) -> Selection:
    """The selection with these entries, each in the place of one that was at its path.

    The directories above come from the full image; one that it lacks is root's, and as old as
    what lies in it.
    """
    new: dict[str, Entry] = {}
    for entry in entries:
        new[entry.path] = entry
        for parent in list_parents(entry.path):
            if parent not in new and parent not in selection.entries:
                new[parent] = _folder(root, parent, entry)
    # The folders of a live system change whenever something is made in them.
    added = _with_old_directories(new, {}, live=root.root == "/")
    return replace(selection, entries=dict(sorted({**selection.entries, **added}.items())))


def make_file(root: Root, path: str, content: bytes, cause: Cause, mtime_ns: int) -> list[Entry]:
    """The entries for a file that the build makes, and for the links to it.

    Its owner is root, and everybody may read it.

    :param path: as it is looked up in the full image, which need not have it.
    """
    found = root.resolve(path)
    file = Entry(found.path, Kind.FILE, 0o644, 0, 0, mtime_ns, len(content))
    links = [root.entry(link, (cause,)) for link in found.links]
    return [*links, replace(file, content=content, causes=(cause,))]


def _folder(root: Root, path: str, inside: Entry) -> Entry:
    causes = (Cause(Reason.DIRECTORY, KeptPath(inside.path)),)
    if root.kind(path) is Kind.DIRECTORY:
        return root.entry(path, causes)
    return Entry(path, Kind.DIRECTORY, 0o755, 0, 0, inside.mtime_ns, causes=causes)
