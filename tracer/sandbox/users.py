"""Who a user of an image is, by its own /etc/passwd and /etc/group (passwd(5), group(5))."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.kernel.openat2 import open_in_root

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 1 << 24
"""Bytes of a table; a longer one is none."""

_LAST = 0xFFFFFFFE  # the number above it means none (setresuid(2))
_DIGITS = len(str(_LAST))


class Account(NamedTuple):
    """``groups`` are the supplementary ones."""

    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str


def account(root: str, user: str) -> Account:
    """The account that container engines run ``USER[:GROUP]`` as; an empty user is root.

    A number need not be in the tables: its group is then root's and its home ``/``. A group
    that is named leaves no supplementary ones.

    :param root: the image's tree; its symlinks are resolved inside it.
    :raises SlimtraceError: the image has no such user or group.
    """
    name, _, group = user.partition(":")
    fd = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        users, groups = [*_table(fd, b"/etc/passwd", 7)], [*_table(fd, b"/etc/group", 4)]
    finally:
        os.close(fd)
    entry = _find(users, name or "0")
    if entry is None and name and not name.isdecimal():
        raise _unknown("user", name, "passwd")
    for word in (name or "0", group or "0"):
        if word.isdecimal() and not _is_id(word):
            raise SlimtraceError(f"cannot run as {user:.64}: no number is above {_LAST}")
    uid = int(entry[2]) if entry else int(name or "0")
    home = entry[5] if entry and entry[5] else "/"
    if not group:
        members = [int(line[2]) for line in groups if entry and entry[0] in line[3].split(",")]
        return Account(uid, int(entry[3]) if entry else 0, tuple(members), home)
    found = _find(groups, group)
    if found is None and not group.isdecimal():
        raise _unknown("group", group, "group")
    return Account(uid, int(found[2]) if found else int(group), (), home)


def _is_id(word: str) -> bool:
    """Whether this is a number that a user or group can have."""
    return word.isdecimal() and len(word) <= _DIGITS and int(word) <= _LAST


def _unknown(what: str, name: str, table: str) -> SlimtraceError:
    return SlimtraceError(
        f"cannot run as {name}: the image's /etc/{table} has no such {what}",
        "give numbers, as --user 65532:65532",
    )


def _find(lines: list[list[str]], name: str) -> list[str] | None:
    """The line of a name, or else of a number."""
    by_name = next((line for line in lines if line[0] == name), None)
    return by_name or next((line for line in lines if name.isdecimal() and line[2] == name), None)


def _table(root: int, path: bytes, width: int) -> Iterator[list[str]]:
    """The whole lines of a table; none where it cannot be read, or is no file."""
    try:
        fd = open_in_root(root, path, follow=True)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return
            with open(f"/proc/self/fd/{fd}", "rb") as file:
                text = file.read(_MOST).decode("utf-8", "surrogateescape")
        finally:
            os.close(fd)
    except OSError:
        return
    for line in text.splitlines():
        fields = line.strip().split(":")
        numbers = fields[2:4] if width > 4 else fields[2:3]
        if len(fields) >= width and all(map(_is_id, numbers)):
            yield fields
