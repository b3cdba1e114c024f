"""passwd(5) and group(5): the accounts that an image needs, and one that may do nothing.

A table that the runs read keeps all its lines: which of them was asked for, no trace tells.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.edit import written
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.root.contents import contents

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from slimtrace.builder.model import Entry, Selection
    from slimtrace.builder.root.root import Root

NONROOT = (65532, 65532)
"""uid and gid that no distribution gives to anybody, and minimal images to their apps."""
_NO_SHELL = "/sbin/nologin"
_MOST = 1 << 24
_OWN_USERS = (
    f"root:x:0:0:root:/root:{_NO_SHELL}",
    f"nobody:x:65534:65534:nobody:/nonexistent:{_NO_SHELL}",
    f"nonroot:x:{NONROOT[0]}:{NONROOT[1]}:nonroot:/home/nonroot:{_NO_SHELL}",
)
_OWN_GROUPS = ("root:x:0:", "nobody:x:65534:", f"nonroot:x:{NONROOT[1]}:")


class _Table(NamedTuple):
    """One of the two.

    :ivar own: the lines of any image, the last that of nonroot.
    """

    path: str
    own: tuple[str, ...]


_USERS = _Table("/etc/passwd", _OWN_USERS)
_GROUPS = _Table("/etc/group", _OWN_GROUPS)


def accounts(selection: Selection, root: Root, user: tuple[int, int]) -> list[Entry]:
    """The entries of both tables.

    Of a table that no run read: root, nobody, nonroot, the image's user and the owners of what is
    kept, as the full image names them. Their shells are kept only if the image has them.

    :param user: the image's uid and gid.
    """
    entries = selection.entries.values()
    uids = {0, 65534, *NONROOT, user[0], *(entry.uid for entry in entries)}
    gids = {0, 65534, *NONROOT, user[1], *(entry.gid for entry in entries)}
    users = _lines(root, _USERS, uids)
    gids.update(int(fields[3]) for fields in map(_fields, users))
    groups = _lines(root, _GROUPS, gids)
    users = [_with_shell(line, root, selection) for line in users]
    return [*_entries(selection, root, _USERS, users), *_entries(selection, root, _GROUPS, groups)]


def _entries(
    selection: Selection, root: Root, table: _Table, lines: Sequence[str]
) -> Iterator[Entry]:
    found = root.resolve(table.path)
    there = selection.entries.get(found.path)
    if there is None:
        fingerprint = root.fingerprint(found.path)
        mtime_ns = 0 if fingerprint is None else fingerprint.mtime_ns
        text = "".join(f"{line}\n" for line in lines)
        yield from written(root, table.path, _bytes(text), (Reason.ACCOUNTS,), mtime_ns)
        return
    if there.kind is not Kind.FILE:
        return
    content = b"".join(contents(there))
    if not _knows(content.decode("utf-8", "surrogateescape"), table.own[-1]):
        end = b"" if content.endswith(b"\n") or not content else b"\n"
        content += end + _bytes(f"{table.own[-1]}\n")
        changed = replace(there, content=content, size=len(content), source=None, hardlink=None)
        yield replace(changed, reasons=(*there.reasons, Reason.ACCOUNTS))


def _lines(root: Root, table: _Table, ids: Collection[int]) -> list[str]:
    """The first line of each id, by id."""
    found: dict[int, str] = {}
    names: set[str] = set()
    for line in [*root.text(table.path, _MOST).splitlines(), *table.own]:
        fields = _fields(line)
        numbers = fields[2:4] if table is _USERS else fields[2:3]
        if len(fields) < 4 or not all(map(str.isdecimal, numbers)) or not fields[0]:
            continue
        number = int(fields[2])
        if number in ids and number not in found and fields[0] not in names:
            found[number] = line
            names.add(fields[0])
    return [found[number] for number in sorted(found)]


def _knows(text: str, own: str) -> bool:
    """Whether a table has an account of this name or number."""
    name, number = _fields(own)[0], _fields(own)[2]
    return any(
        fields[0] == name or fields[2:3] == [number] for fields in map(_fields, text.splitlines())
    )


def _with_shell(line: str, root: Root, selection: Selection) -> str:
    fields = _fields(line)
    is_kept = root.resolve(fields[-1]).path in selection.entries
    return line if is_kept else ":".join([*fields[:-1], _NO_SHELL])


def _fields(line: str) -> list[str]:
    return line.split(":")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
