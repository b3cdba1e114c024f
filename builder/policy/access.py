"""Checks whether the image's user can reach and read the kept files, by mode bits (inode(7)).

The user has no supplementary groups and no capabilities, as container engines start it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.policy.secrets import find_secrets
from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Entry, Selection

_MAX_NAMED_PATHS = 5
_READ, _WRITE, _SEARCH = 4, 2, 1


def warn_of_access(selection: Selection, context: Context) -> Selection:
    """Warn of files that the image's user cannot read, and name the paths that deny access."""
    uid, gid = context.user
    blocked: dict[str, list[str]] = {}
    for path, entry in selection.entries.items():
        if entry.kind is Kind.FILE:
            barrier = next(iter(find_barriers(selection.entries, entry, uid, gid)), None)
            if barrier is not None:
                blocked.setdefault(barrier, []).append(path)
    if not blocked:
        return selection
    count = sum(map(len, blocked.values()))
    named = sorted(blocked, key=lambda path: (-len(blocked[path]), path))
    barriers = [
        _format_barrier(selection.entries[path], blocked[path]) for path in named[:_MAX_NAMED_PATHS]
    ]
    if len(named) > _MAX_NAMED_PATHS:
        barriers.append(f"and {len(named) - _MAX_NAMED_PATHS} more")
    files = "1 file" if count == 1 else f"{count} files"
    warning = (
        f"the image's user {uid}:{gid} cannot read {files}: {', '.join(barriers)}; "
        "--grant-read makes the copies readable, --user chooses another user"
    )
    return replace(selection, warnings=(*selection.warnings, warning))


def grant_read(selection: Selection, context: Context) -> Selection:
    """With ``--grant-read``, add the mode bits that the user lacks, but not for secrets."""
    if not context.options.grant_read:
        return selection
    uid, gid = context.user
    secrets = find_secrets(context.root, selection)
    entries = dict(selection.entries)
    for path, entry in selection.entries.items():
        is_touched_folder = entry.kind is Kind.DIRECTORY and Reason.TOUCHED in entry.reasons
        if path in secrets or not (entry.kind is Kind.FILE or is_touched_folder):
            continue
        for barrier in find_barriers(selection.entries, entry, uid, gid):
            before = entries[barrier]
            bits = _read_bits(before) << _shift(before, uid, gid)
            entries[barrier] = replace(before, mode=before.mode | bits)
    return replace(selection, entries=entries)


def find_barriers(entries: Mapping[str, Entry], entry: Entry, uid: int, gid: int) -> list[str]:
    """Find the paths whose mode denies the user access to the entry, the topmost first.

    :param entries: the entry and the directories above it, by path.
    """
    if uid == 0:
        return []
    above = [entries[parent] for parent in list_parents(entry.path) if parent in entries]
    barriers = [item.path for item in above if not _may(item, _SEARCH, uid, gid)]
    if not _may(entry, _read_bits(entry), uid, gid):
        barriers.append(entry.path)
    return barriers


def may_write(entry: Entry, uid: int, gid: int) -> bool:
    """Whether the user may change a file, or create and delete names in a directory."""
    bits = _WRITE | (_SEARCH if entry.kind is Kind.DIRECTORY else 0)
    return uid == 0 or _may(entry, bits, uid, gid)


def may_read(entry: Entry, uid: int, gid: int) -> bool:
    """Whether the user may read a file, or list and search a directory."""
    return uid == 0 or _may(entry, _read_bits(entry), uid, gid)


def _may(entry: Entry, bits: int, uid: int, gid: int) -> bool:
    return entry.mode >> _shift(entry, uid, gid) & bits == bits


def _read_bits(entry: Entry) -> int:
    """The bits to read an entry, to search a directory, and to execute an executable file."""
    execute = entry.kind is Kind.DIRECTORY or entry.mode & 0o111
    return _READ | (_SEARCH if execute else 0)


def _shift(entry: Entry, uid: int, gid: int) -> int:
    """Find which three bits count: owner, group or others.

    The first class that matches decides, even if it grants less than the next.
    """
    if entry.uid == uid:
        return 6
    return 3 if entry.gid == gid else 0


def _format_barrier(barrier: Entry, files: list[str]) -> str:
    text = f"{barrier.path} is {barrier.mode:04o} and owned by {barrier.uid}:{barrier.gid}"
    if files == [barrier.path]:
        return text
    return f"{text} ({len(files)} in it)"
