"""Adds entries to a selection and removes them, with the directories above them."""

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
    from slimtrace.tracer.caution import Caution
    from slimtrace.tracer.trace.trace import Fingerprint


def remove_paths(
    selection: Selection, dropped: Iterable[Dropped], warnings: tuple[Caution, ...] = ()
) -> Selection:
    """Remove these paths from the selection, and record them as dropped.

    A directory stays as long as it contains an entry. A directory that was kept only for its
    entries is removed with the last of them.
    """
    records = {item.path: item for item in dropped}
    entries = selection.entries
    paths = {
        path
        for path, entry in entries.items()
        if path not in records and entry.reasons != (Reason.DIRECTORY,)
    }
    paths |= {parent for path in paths for parent in list_parents(path)} | {"/"}
    kept = {path: entry for path, entry in entries.items() if path in paths}
    removed = tuple(
        replace(item, causes=entries[path].causes) if path in entries else item
        for path, item in records.items()
        if path not in kept
    )
    return replace(
        selection,
        entries=kept,
        dropped=(*selection.dropped, *removed),
        warnings=(*selection.warnings, *warnings),
    )


def restore_directories(selection: Selection, context: Context) -> Selection:
    """Set the metadata of directories to what the run saw."""
    root = context.root
    traced = {
        root.resolve(seed.path, follow=seed.follow).path: seed.fingerprint
        for seed in selection.seeds
        if seed.fingerprint is not None
    }
    entries = _fix_directories(selection.entries, traced, live=root.root == "/")
    return replace(selection, entries=entries)


def _fix_directories(
    before: Mapping[str, Entry], traced: Mapping[str, Fingerprint], *, live: bool
) -> dict[str, Entry]:
    """Make directories independent of changes since the run.

    :param traced: the metadata of directories that the run saw, by own path.
    :param live: whether the full image is a running system. Its directories change whenever a
        file is created in them, also by slimtrace, and the digest would change too. So a directory
        that no run used gets the time of its newest file.
    """
    entries = dict(before)
    newest: dict[str, int] = {}
    for path, entry in before.items():
        if entry.kind is not Kind.DIRECTORY:
            for parent in list_parents(path):
                newest[parent] = max(newest.get(parent, 0), entry.mtime_ns)
    for path, entry in before.items():
        old = traced.get(path)
        if entry.kind is not Kind.DIRECTORY:
            continue
        if old is not None:
            mode = old.mode & 0o7777
            entries[path] = replace(
                entry, mode=mode, uid=old.uid, gid=old.gid, mtime_ns=old.mtime_ns
            )
        elif live:
            entries[path] = replace(entry, mtime_ns=newest.get(path, 0))
    return entries


def add_entries(selection: Selection, root: Root, entries: Iterable[Entry]) -> Selection:
    """Add these entries to the selection. An entry replaces the one at its path.

    The directories above come from the full image. A directory that is not there belongs to root
    and gets the time of its entry.
    """
    new: dict[str, Entry] = {}
    for entry in entries:
        new[entry.path] = entry
        for parent in list_parents(entry.path):
            if parent not in new and parent not in selection.entries:
                new[parent] = _make_folder(root, parent, entry)
    # The directories of a live system change whenever a file is created in them.
    added = _fix_directories(new, {}, live=root.root == "/")
    return replace(selection, entries=dict(sorted({**selection.entries, **added}.items())))


def make_file(root: Root, path: str, content: bytes, cause: Cause, mtime_ns: int) -> list[Entry]:
    """Make the entries for a file that the build generates, and for the links to it.

    Its owner is root, and everybody may read it.

    :param path: a path that need not exist in the full image; its symlinks are resolved there.
    """
    own = root.resolve(path)
    file = Entry(own.path, Kind.FILE, 0o644, 0, 0, mtime_ns, len(content))
    links = [root.entry(link, (cause,)) for link in own.links]
    return [*links, replace(file, content=content, causes=(cause,))]


def _make_folder(root: Root, path: str, inside: Entry) -> Entry:
    causes = (Cause(Reason.DIRECTORY, KeptPath(inside.path)),)
    if root.kind(path) is Kind.DIRECTORY:
        return root.entry(path, causes)
    return Entry(path, Kind.DIRECTORY, 0o755, 0, 0, inside.mtime_ns, causes=causes)
