"""How directories are in the image: as the run saw them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.images.root import parents
from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.model import Selection
    from slimtrace.tracer.model import Fingerprint


def as_traced(selection: Selection, traced: Mapping[str, Fingerprint], *, live: bool) -> Selection:
    """The selection with directories that owe nothing to what happened since the run.

    :param traced: what the run saw of directories, by own path.
    :param live: whether the full image is a running system. Its directories change whenever a
        file is made in them, be it the trace or the image itself, and would take the digest
        along. Where the run did not look at one, it gets the newest time of what it holds.
    """
    entries = dict(selection.entries)
    newest: dict[str, int] = {}
    for path, entry in selection.entries.items():
        if entry.kind is not Kind.DIRECTORY:
            for parent in parents(path):
                newest[parent] = max(newest.get(parent, 0), entry.mtime_ns)
    for path, entry in selection.entries.items():
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
    return replace(selection, entries=entries)
