"""Where the app wrote: folders that must be there, and those that the user may not use."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.closure.closure import Seed
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.policy.access import may_write
from slimtrace.builder.root.excluded_paths import is_bytecode, why_outside
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.model import Entry, Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_NAMED = 5
_CHANGES = {Use.WRITE, Use.CREATE, Use.DELETE}


def folders_written(trace: Trace, root: Root) -> dict[str, Seed]:
    """The folders of the full image in which the run made things, by own path.

    What the app makes is not in the image, but it must be able to make it again.
    """
    found = {}
    for path in trace.with_state(State.CREATED):
        if is_bytecode(path.path):
            continue
        folder = os.path.dirname(path.path)
        # "//" is its own dirname, as "/" is (POSIX leaves it a meaning of its own).
        while folder.strip("/") and _is_created(trace, folder):
            folder = os.path.dirname(folder)
        own = root.resolve(folder)
        if own.exists and root.kind(own.path) is Kind.DIRECTORY and why_outside(own.path) is None:
            found[own.path] = Seed(folder, Reason.PARENT_OF_CREATED)
    return found


def _is_created(trace: Trace, path: str) -> bool:
    known = trace.paths.get(path)
    return known is not None and known.state is State.CREATED


def give_folders(selection: Selection, folders: Iterable[str], user: tuple[int, int]) -> Selection:
    """The selection with the copies of these folders owned by the image's user.

    A volume that an engine mounts there for the first time takes the owner along.
    """
    entries = dict(selection.entries)
    for folder in folders:
        entry = entries.get(folder)
        if entry is not None and not may_write(entry, *user):
            entries[folder] = replace(entry, uid=user[0], gid=user[1], mode=entry.mode | 0o700)
    return replace(selection, entries=entries)


def files_changed(trace: Trace, root: Root) -> list[str]:
    """The paths of the full image that the run wrote to or deleted, by own path."""
    changed = [path for path in trace.with_state(State.FILE) if path.uses & _CHANGES]
    own = [root.resolve(path.path).path for path in changed]
    return [path for path in own if root.kind(path) is Kind.FILE]


def warn_of_writes(
    selection: Selection, changed: Iterable[str], user: tuple[int, int]
) -> Selection:
    """The selection with a warning that names where the app wrote and the user may not."""
    barred = sorted({path for path in changed if _is_barred(selection.entries.get(path), user)})
    if not barred:
        return selection
    names = ", ".join(barred[:_NAMED]) + (", …" if len(barred) > _NAMED else "")
    warning = (
        f"the app wrote to {names}, where the image's user {user[0]}:{user[1]} may not: "
        "--grant-write gives it the folders; or mount a volume that it owns, or name another --user"
    )
    return replace(selection, warnings=(*selection.warnings, warning))


def _is_barred(entry: Entry | None, user: tuple[int, int]) -> bool:
    return entry is not None and not may_write(entry, *user)
