"""Writes /etc/passwd and /etc/group of a slim image: the accounts that it needs, and nonroot.

A table that a run read keeps all its lines, because no trace shows which of them were needed.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from slimtrace.builder.closure.baseline_parts import make_baseline_cause
from slimtrace.builder.edit import make_file
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.root.contents import read_contents
from slimtrace.tracer.image.accounts import MAX_TABLE_BYTES, parse_group, parse_passwd

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from slimtrace.builder.model import Entry, Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.image.accounts import GroupEntry, PasswdEntry

    _Line = TypeVar("_Line", PasswdEntry, GroupEntry)

NONROOT = (65532, 65532)
"""UID and GID that no distribution assigns, and that minimal images use for their apps."""
_NAME = "nonroot"
_NO_SHELL = "/sbin/nologin"
_PASSWD_FIELDS = 7
_CAUSE = make_baseline_cause(Reason.ACCOUNTS)
_OWN_USERS = (
    f"root:x:0:0:root:/root:{_NO_SHELL}",
    f"nobody:x:65534:65534:nobody:/nonexistent:{_NO_SHELL}",
    f"{_NAME}:x:{NONROOT[0]}:{NONROOT[1]}:{_NAME}:/home/{_NAME}:{_NO_SHELL}",
)
_OWN_GROUPS = ("root:x:0:", "nobody:x:65534:", f"{_NAME}:x:{NONROOT[1]}:")


class _Table(NamedTuple):
    """One of the two tables.

    :ivar own: the lines that every image gets, nonroot's last.
    """

    path: str
    own: tuple[str, ...]


_USERS = _Table("/etc/passwd", _OWN_USERS)
_GROUPS = _Table("/etc/group", _OWN_GROUPS)


def make_accounts(selection: Selection, root: Root, user: tuple[int, int]) -> list[Entry]:
    """The entries of both tables.

    A table that no run read gets root, nobody, nonroot, the image's user and the owners of the
    kept files, by the full image's lines. Their shells are kept only if the image has them.

    :param user: the image's UID and GID.
    """
    entries = selection.entries.values()
    uids = {0, 65534, *NONROOT, user[0], *(entry.uid for entry in entries)}
    gids = {0, 65534, *NONROOT, user[1], *(entry.gid for entry in entries)}
    users = _choose(((e, e.uid) for e in parse_passwd(_with_own_lines(root, _USERS))), uids)
    gids.update(entry.gid for entry in users)
    groups = _choose(((e, e.gid) for e in parse_group(_with_own_lines(root, _GROUPS))), gids)
    passwd = [_with_kept_shell(entry.line, root, selection) for entry in users]
    return [
        *_entries(selection, root, _USERS, passwd),
        *_entries(selection, root, _GROUPS, [entry.line for entry in groups]),
    ]


def _entries(
    selection: Selection, root: Root, table: _Table, lines: Sequence[str]
) -> Iterator[Entry]:
    found = root.resolve(table.path)
    there = selection.entries.get(found.path)
    if there is None:
        fingerprint = root.fingerprint(found.path)
        mtime_ns = 0 if fingerprint is None else fingerprint.mtime_ns
        text = "".join(f"{line}\n" for line in lines)
        yield from make_file(root, table.path, _bytes(text), _CAUSE, mtime_ns)
        return
    if there.kind is not Kind.FILE:
        return
    content = b"".join(read_contents(there))
    if not _has_account(table, content.decode("utf-8", "surrogateescape")):
        end = b"" if content.endswith(b"\n") or not content else b"\n"
        content += end + _bytes(f"{table.own[-1]}\n")
        changed = replace(there, content=content, size=len(content), source=None, hardlink=None)
        yield replace(changed, causes=(*there.causes, _CAUSE))


def _with_own_lines(root: Root, table: _Table) -> str:
    return "\n".join([root.text(table.path, MAX_TABLE_BYTES), *table.own])


def _choose(entries: Iterable[tuple[_Line, int]], ids: Collection[int]) -> list[_Line]:
    """The first well-formed line of each ID, ordered by ID; no name occurs twice."""
    chosen: dict[int, _Line] = {}
    names: set[str] = set()
    for entry, number in entries:
        is_new = number not in chosen and entry.name not in names
        if entry.is_well_formed and number in ids and is_new:
            chosen[number] = entry
            names.add(entry.name)
    return [chosen[number] for number in sorted(chosen)]


def _has_account(table: _Table, text: str) -> bool:
    """Whether a table already has a line with the name or the ID of nonroot."""
    number = NONROOT[0]
    if table is _USERS:
        return any(e.name == _NAME or e.uid == number for e in parse_passwd(text))
    return any(e.name == _NAME or e.gid == number for e in parse_group(text))


def _with_kept_shell(line: str, root: Root, selection: Selection) -> str:
    fields = line.split(":")
    if len(fields) < _PASSWD_FIELDS:  # it names no shell
        return line
    is_kept = root.resolve(fields[-1]).path in selection.entries
    return line if is_kept else ":".join([*fields[:-1], _NO_SHELL])


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
