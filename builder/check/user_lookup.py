"""Who an image's User is, by its own tables (passwd(5), group(5))."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.builder.root.root import Root

_MOST = 1 << 20


@dataclass(frozen=True, slots=True)
class UserLookup:
    """``USER[:GROUP]``, looked up.

    :ivar words: as the image says it; empty for root.
    :ivar uid: None where the image knows no such user; ``gid`` likewise.
    """

    words: str
    uid: int | None
    gid: int | None

    @property
    def is_numeric(self) -> bool:
        """Whether the user, at least, is a number: nobody looks at a group that is named."""
        return self.words.partition(":")[0].isdecimal()


def who(root: Root, words: str) -> UserLookup:
    """The numbers behind a User; a number need not be in the tables."""
    name, _, group = words.partition(":")
    user = _line(root, "/etc/passwd", name or "0")
    uid = user[0] if user else _number(name or "0")
    if group:
        found = _line(root, "/etc/group", group)
        return UserLookup(words, uid, found[0] if found else _number(group))
    return UserLookup(words, uid, user[1] if user else (None if uid is None else 0))


def _line(root: Root, table: str, name: str) -> tuple[int, int] | None:
    """The third and fourth field of the line of a name or number; the fourth may be none."""
    for line in root.text(table, _MOST).splitlines():
        fields = line.split(":")
        if len(fields) > 3 and name in {fields[0], fields[2]} and fields[2].isdecimal():
            return int(fields[2]), int(fields[3]) if fields[3].isdecimal() else 0
    return None


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None
