"""Whether the image's user can reach and read what is kept, by mode bits alone (inode(7)).

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
    """Warn of the files that the image's user cannot read, and name what bars it."""
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
    words = [_bars(selection.entries[path], blocked[path]) for path in named[:_MAX_NAMED_PATHS]]
    if len(named) > _MAX_NAMED_PATHS:
        words.append(f"and {len(named) - _MAX_NAMED_PATHS} more")
    files = "1 file" if count == 1 else f"{count} files"
    warning = (
        f"the image's user {uid}:{gid} cannot read {files}: {', '.join(words)}; "
        "--grant-read opens the copies, --user names another user"
    )
    return replace(selection, warnings=(*selection.warnings, warning))


def grant_read(selection: Selection, context: Context) -> Selection:
    """With ``--grant-read``, add the mode bits that the user lacks; a secret stays closed."""
    if not context.options.grant_read:
        return selection
    uid, gid = context.user
    secrets = find_secrets(context.root, selection)
    entries = dict(selection.entries)
    for path, entry in selection.entries.items():
        touched_directory = entry.kind is Kind.DIRECTORY and Reason.TOUCHED in entry.reasons
        if path in secrets or not (entry.kind is Kind.FILE or touched_directory):
            continue
        for barrier in find_barriers(selection.entries, entry, uid, gid):
            before = entries[barrier]
            bits = _needed(before) << _shift(before, uid, gid)
            entries[barrier] = replace(before, mode=before.mode | bits)
    return replace(selection, entries=entries)


def find_barriers(entries: Mapping[str, Entry], entry: Entry, uid: int, gid: int) -> list[str]:
    """The paths whose bits keep the user from the entry, the topmost first.

    :param entries: the entry and the directories above it, by path.
    """
    if uid == 0:
        return []
    above = [entries[parent] for parent in list_parents(entry.path) if parent in entries]
    found = [item.path for item in above if not _may(item, _SEARCH, uid, gid)]
    if not _may(entry, _needed(entry), uid, gid):
        found.append(entry.path)
    return found


def may_write(entry: Entry, uid: int, gid: int) -> bool:
    """Whether the user may change a file, or make and delete names in a directory."""
    bits = _WRITE | (_SEARCH if entry.kind is Kind.DIRECTORY else 0)
    return uid == 0 or _may(entry, bits, uid, gid)


def may_read(entry: Entry, uid: int, gid: int) -> bool:
    """Whether the user may read a file, or a directory's names and what they name."""
    return uid == 0 or _may(entry, _needed(entry), uid, gid)


def _may(entry: Entry, bits: int, uid: int, gid: int) -> bool:
    return entry.mode >> _shift(entry, uid, gid) & bits == bits


def _needed(entry: Entry) -> int:
    """Read; and search of a directory, or execution of what anybody may execute."""
    execute = entry.kind is Kind.DIRECTORY or entry.mode & 0o111
    return _READ | (_SEARCH if execute else 0)


def _shift(entry: Entry, uid: int, gid: int) -> int:
    """Which three bits count: the first class that fits decides, even where it grants less."""
    if entry.uid == uid:
        return 6
    return 3 if entry.gid == gid else 0


def _bars(barrier: Entry, files: list[str]) -> str:
    text = f"{barrier.path} is {barrier.mode:04o} and owned by {barrier.uid}:{barrier.gid}"
    if files == [barrier.path]:
        return text
    return f"{text} ({len(files)} in it)"
