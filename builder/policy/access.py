"""Checks whether the image's user can reach and read the kept files, by mode bits (inode(7)).

The user has no supplementary groups and no capabilities, as container engines start it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.policy.secrets import find_secrets
from slimtrace.builder.root.root import list_parents
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.text import format_count
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Entry, Selection
    from slimtrace.tracer.trace.trace import Trace

_MAX_NAMED_PATHS = 5
_READ, _WRITE, _SEARCH = 4, 2, 1
_READING = {Use.READ, Use.EXEC, Use.LIST}
_USER_CHANGES = frozenset(
    f"set{kind}{of}id{width}"
    for kind in ("", "re", "res", "fs")
    for of in "ug"
    for width in ("", "32")
)
_SETUID_OR_SETGID = 0o6000


def warn_of_access(selection: Selection, context: Context) -> Selection:
    """Warn of files that the image's user cannot read, and name the paths that deny access.

    Not of files that the runs only looked at, nor of those that the runs could not read either.
    """
    uid, gid = context.user
    blocked: dict[str, list[str]] = {}
    for path, entry in selection.entries.items():
        if entry.kind is Kind.FILE:
            barrier = next(iter(find_barriers(selection.entries, entry, uid, gid)), None)
            if barrier is not None:
                blocked.setdefault(barrier, []).append(path)
    blocked = _omit_unread(selection, context, blocked) if blocked else {}
    if not blocked:
        return selection
    count = sum(map(len, blocked.values()))
    named = sorted(blocked, key=lambda path: (-len(blocked[path]), path))
    barriers = [
        _format_barrier(selection.entries[path], blocked[path]) for path in named[:_MAX_NAMED_PATHS]
    ]
    if len(named) > _MAX_NAMED_PATHS:
        barriers.append(f"and {len(named) - _MAX_NAMED_PATHS} more")
    files = format_count(count, "file")
    warning = Caution(
        f"the image's user {uid}:{gid} cannot read {files}: {', '.join(barriers)}",
        "--grant-read makes the copies readable, --user chooses another user",
    )
    return replace(selection, warnings=(*selection.warnings, warning))


def _omit_unread(
    selection: Selection, context: Context, blocked: Mapping[str, list[str]]
) -> dict[str, list[str]]:
    entries, trace = selection.entries, context.trace
    uses: dict[str, set[Use]] = {}
    for traced in trace.with_state(State.FILE):
        uses.setdefault(context.root.resolve(traced.path).path, set()).update(traced.uses)
    is_same_user = _ran_only_as(trace, context.user)
    relevant: dict[str, list[str]] = {}
    for barrier, paths in blocked.items():
        if is_same_user and not _is_open_to_groups(entries[barrier], context.user[0]):
            continue
        needed = [
            path
            for path in paths
            if entries[path].reasons != (Reason.TOUCHED,)
            or not _READING.isdisjoint(uses.get(path, _READING))
        ]
        if needed:
            relevant[barrier] = needed
    return relevant


def _ran_only_as(trace: Trace, user: tuple[int, int]) -> bool:
    """Whether all processes of all runs had this user, as far as the trace shows."""
    is_user = all(run.user == f"{user[0]}:{user[1]}" for run in trace.runs)
    started = (path.fingerprint for path in trace.paths.values() if Use.EXEC in path.uses)
    is_raised = any(seen is not None and seen.mode & _SETUID_OR_SETGID for seen in started)
    return is_user and not is_raised and _USER_CHANGES.isdisjoint(trace.observed_syscalls)


def _is_open_to_groups(entry: Entry, uid: int) -> bool:
    """Whether a supplementary group, which the image's user has not, may have let a run in."""
    bits = _read_bits(entry)
    return entry.uid != uid and entry.mode >> 3 & bits == bits


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
