"""Adds the empty directories that every program may expect (hier(7))."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.edit import add_entries
from slimtrace.builder.model import BuildPart, Cause, Entry, KeptPath, Kind, Reason, Selection
from slimtrace.builder.root.excluded_paths import OWN_TOP, is_runtime_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.context import Context

_MODES: Mapping[str, int] = {
    "/": 0o755,
    "/dev": 0o755,
    "/proc": 0o555,
    "/run": 0o755,
    "/sys": 0o555,
    "/tmp": 0o1777,  # noqa: S108 -- the image's
}


_CAUSE = Cause(Reason.SKELETON, BuildPart("skeleton"))
_LINK = "/var/run"
"""Most systems have this link. C libraries follow it when they look up a user (glibc, for nscd's
socket). An app may do so only as another user, which no run shows."""


def add_skeleton(selection: Selection, context: Context) -> Selection:
    """Add ``/``, ``/proc``, ``/sys``, ``/dev``, ``/run``, ``/tmp``, and the link /var/run.

    All but ``/`` get fixed metadata: on a live root they are mounts and change every second, but
    the digest must not change.
    """
    root = context.root
    full = {"/": root.entry("/", ())} if root.kind("/") is Kind.DIRECTORY else {}
    is_link = root.kind(_LINK) is Kind.SYMLINK and root.kind("/var") is Kind.DIRECTORY
    if is_link and _LINK not in selection.entries:
        selection = add_entries(selection, root, [root.entry(_LINK, (_CAUSE,))])
    entries = dict(selection.entries)
    for path, mode in _MODES.items():
        kept = entries.get(path)
        if kept is not None and kept.kind is not Kind.DIRECTORY:
            continue  # an image whose /run is a link keeps its link
        plain = Entry(path, Kind.DIRECTORY, mode, 0, 0, 0)
        base = plain if path in OWN_TOP else kept or full.get(path, plain)
        causes = () if kept is None else kept.causes
        entries[path] = replace(base, causes=(*causes, _CAUSE))
    return replace(selection, entries=dict(sorted(entries.items())))


def add_runtime_folders(selection: Selection, context: Context) -> Selection:
    """Add the directories below ``/run`` to which kept links lead, as ``/var/lock`` does."""
    root = context.root
    folders = []
    for path, entry in selection.entries.items():
        if entry.kind is Kind.SYMLINK:
            found = root.resolve(path)
            if found.path not in selection.entries and is_runtime_folder(root, found.path):
                folders.append(root.entry(found.path, (Cause(Reason.SYMLINK, KeptPath(path)),)))
    return add_entries(selection, root, folders)
