"""Looks up ``USER[:GROUP]`` in the passwd(5) and group(5) of an image, as container engines do.

Docker, containerd, Podman and BuildKit share one parser and one lookup: ``GetExecUser`` of
github.com/moby/sys/user (user/user.go). This module decides as that one does:

* Fields that a line lacks are empty, and a number that is empty or malformed is 0. So the line
  ``app:x:1000:1000`` is an account, ``nogid:x:7::`` has GID 0, and ``odd:x:many:7::`` has UID 0.
* A user or group that is a number is never looked up as a name. It need not be in the tables;
  its GID is then 0.
* The first line that matches wins.
* Supplementary groups are added only where no group is named.

Engines refuse numbers above 2^31-1 on the command line and do not check those of the tables.
Here the kernel's limit, :data:`MAX_ID`, holds for both; callers check it by :func:`is_valid_id`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_TABLE_BYTES = 1 << 24
"""What readers read of /etc/passwd or /etc/group; the rest is ignored."""
MAX_ID = (1 << 32) - 2
"""The highest UID and GID: the next number means "no change" (setresuid(2), chown(2))."""

_NUMBER = re.compile(r"[+-]?[0-9]+", re.ASCII)
_MAX_INT64 = (1 << 63) - 1
_MAX_DIGITS = 20


class PasswdEntry(NamedTuple):
    """One line of passwd(5).

    :ivar line: the whole line, without the newline.
    :ivar is_well_formed: whether C libraries read the same from it: it has a name and two numbers
        (getpwnam(3)).
    """

    name: str
    uid: int
    gid: int
    home: str
    line: str
    is_well_formed: bool


class GroupEntry(NamedTuple):
    """One line of group(5); fields as in :class:`PasswdEntry`."""

    name: str
    gid: int
    members: tuple[str, ...]
    line: str
    is_well_formed: bool


class AccountLookup(NamedTuple):
    """The result of a lookup.

    :ivar uid: None if the tables have no such user.
    :ivar gid: None if they have no such group, or no such user.
    :ivar groups: supplementary GIDs.
    :ivar home: ``/`` for a user who is not in the tables.
    """

    uid: int | None
    gid: int | None
    groups: tuple[int, ...] = ()
    home: str = "/"


def look_up_account(user: str, read: Callable[[str], str]) -> AccountLookup:
    """The account that engines run ``USER[:GROUP]`` as; an empty user is UID 0.

    The numbers are not checked against :data:`MAX_ID`, and may be negative.

    :param read: returns the text of a table by its path in the image, ``""`` if there is none.
    """
    name, group, *_ = [*user.split(":"), ""]
    number = parse_number(name or "0")
    entry = _find_entry(name, number, read("/etc/passwd"))
    if entry is None and number is None:
        return AccountLookup(None, None)
    uid, gid, home = (entry.uid, entry.gid, entry.home) if entry else (number, 0, "")
    if group:
        return AccountLookup(uid, _find_gid(group, read("/etc/group")), (), home or "/")
    groups: tuple[int, ...] = ()
    if entry and entry.name:
        lines = parse_group(read("/etc/group"))
        groups = tuple(line.gid for line in lines if entry.name in line.members)
    return AccountLookup(uid, gid, groups, home or "/")


def _find_entry(name: str, number: int | None, table: str) -> PasswdEntry | None:
    for entry in parse_passwd(table):
        if entry.uid == number or (number is None and entry.name == name):
            return entry
    return None


def _find_gid(group: str, table: str) -> int | None:
    number = parse_number(group)
    if number is not None:
        return number
    return next((line.gid for line in parse_group(table) if line.name == group), None)


def parse_passwd(text: str) -> Iterator[PasswdEntry]:
    """The lines of a passwd(5), malformed ones too; empty lines are skipped."""
    for line in _lines(text):
        name, _, uid, gid, _, home, *_ = [*line.split(":"), *[""] * 6]
        numbers = parse_number(uid), parse_number(gid)
        yield PasswdEntry(
            name=name,
            uid=numbers[0] or 0,
            gid=numbers[1] or 0,
            home=home,
            line=line,
            is_well_formed=bool(name) and all(map(_is_plain_id, (uid, gid))),
        )


def parse_group(text: str) -> Iterator[GroupEntry]:
    """The lines of a group(5), malformed ones too; empty lines and comments are skipped."""
    for line in _lines(text):
        if line.startswith("#"):
            continue
        name, _, gid, members, *_ = [*line.split(":"), *[""] * 4]
        yield GroupEntry(
            name=name,
            gid=parse_number(gid) or 0,
            members=tuple(members.split(",")) if members else (),
            line=line,
            is_well_formed=bool(name) and _is_plain_id(gid),
        )


def parse_number(text: str) -> int | None:
    """A decimal number, as Go's strconv.Atoi parses it; None if it is none.

    A number that does not fit into 64 bits becomes the largest that does: it is no valid ID.
    """
    if not _NUMBER.fullmatch(text):
        return None
    digits = text.lstrip("+-0")[:_MAX_DIGITS]  # int() refuses thousands of digits
    number = min(int(digits or "0"), _MAX_INT64)
    return -number if text.startswith("-") else number


def is_valid_id(number: int) -> bool:
    """Whether the kernel knows this number as a UID or GID."""
    return 0 <= number <= MAX_ID


def check_user(text: str) -> None:
    """Check ``USER[:GROUP]`` as far as that is possible without an image.

    :raises UsageError: it has another form, or the kernel knows no such number.
    """
    if not text or text.count(":") > 1:
        raise UsageError(
            f"cannot use --user {text!r}: it is not USER or USER:GROUP", "as in --user 65532:65532"
        )
    for number in map(parse_number, text.split(":")):
        if number is not None and not is_valid_id(number):
            raise UsageError(
                f"cannot use --user {text}: IDs are numbers from 0 to {MAX_ID}",
                "as in --user 65532:65532",
            )


def _is_plain_id(text: str) -> bool:
    number = parse_number(text) if text[:1].isdecimal() else None
    return number is not None and is_valid_id(number)


def _lines(text: str) -> Iterator[str]:
    return filter(None, map(str.strip, text.split("\n")))
