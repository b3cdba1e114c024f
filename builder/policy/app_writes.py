"""The folders to which the app wrote: they are kept, and the image's user must own them."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.model import Cause, Kind, ProcessImages, Reason, Seed
from slimtrace.builder.policy.access import may_write
from slimtrace.builder.root.excluded_paths import find_exclusion_reason, is_bytecode
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_MAX_NAMED_PATHS = 5
_CHANGES = {Use.WRITE, Use.CREATE, Use.DELETE}


def add_written_folders(selection: Selection, context: Context) -> Selection:
    """Add the folders of the full image in which the runs created files.

    The files are not in the image, but the app must be able to create them again.
    """
    trace, root = context.trace, context.root
    seeds = {}
    for path in trace.with_state(State.CREATED):
        if is_bytecode(path.path):
            continue
        folder = os.path.dirname(path.path)
        # "//" is its own dirname, as "/" is (POSIX leaves it a meaning of its own).
        while folder.strip("/") and _is_created(trace, folder):
            folder = os.path.dirname(folder)
        own = root.resolve(folder)
        cause = Cause(Reason.PARENT_OF_CREATED, ProcessImages(path.processes))
        is_folder = own.exists and root.kind(own.path) is Kind.DIRECTORY
        if is_folder and find_exclusion_reason(root, own.path) is None:
            seeds[own.path] = Seed(folder, cause)
    return replace(selection, seeds=(*selection.seeds, *seeds.values()))


def _is_created(trace: Trace, path: str) -> bool:
    known = trace.paths.get(path)
    return known is not None and known.state is State.CREATED


def grant_write(selection: Selection, context: Context) -> Selection:
    """With ``--grant-write``, give the copies of the written folders to the image's user.

    A volume that an engine mounts there for the first time gets the same owner.
    """
    if not context.options.grant_write:
        return selection
    uid, gid = context.user
    entries = dict(selection.entries)
    for folder in _written_folders(selection, context.root):
        entry = entries.get(folder)
        if entry is not None and not may_write(entry, uid, gid):
            entries[folder] = replace(entry, uid=uid, gid=gid, mode=entry.mode | 0o700)
    return replace(selection, entries=entries)


def warn_of_writes(selection: Selection, context: Context) -> Selection:
    """Warn of the paths to which the app wrote, and the image's user may not."""
    uid, gid = context.user
    written = (*_written_folders(selection, context.root), *_changed_files(context))
    entries = selection.entries
    barred = sorted(
        {path for path in written if path in entries and not may_write(entries[path], uid, gid)}
    )
    if not barred:
        return selection
    names = ", ".join(barred[:_MAX_NAMED_PATHS]) + (", …" if len(barred) > _MAX_NAMED_PATHS else "")
    warning = Caution(
        f"the app wrote to {names}, where the image's user {uid}:{gid} may not",
        "--grant-write gives it the folders; or mount a volume that it owns, or name another "
        "--user",
    )
    return replace(selection, warnings=(*selection.warnings, warning))


def _written_folders(selection: Selection, root: Root) -> list[str]:
    """The own paths of what :func:`add_written_folders` added."""
    return [
        root.resolve(seed.path).path
        for seed in selection.seeds
        if seed.cause.reason is Reason.PARENT_OF_CREATED
    ]


def _changed_files(context: Context) -> list[str]:
    """The own paths of the full image's files that the runs wrote to or deleted."""
    root = context.root
    changed = [path for path in context.trace.with_state(State.FILE) if path.uses & _CHANGES]
    own = [root.resolve(path.path).path for path in changed]
    return [path for path in own if root.kind(path) is Kind.FILE]
