"""The user that an image's config names, looked up in the image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.tracer.image.accounts import MAX_TABLE_BYTES, look_up_account, parse_number

if TYPE_CHECKING:
    from slimtrace.builder.root.root import Root


@dataclass(frozen=True, slots=True)
class UserLookup:
    """``USER[:GROUP]`` and its IDs.

    :ivar text: as the config names it; empty for root.
    :ivar uid: None if the image has no such user; ``gid`` likewise.
    """

    text: str
    uid: int | None
    gid: int | None

    @property
    def is_numeric(self) -> bool:
        """Whether the user is a number. The kubelet does not care about the group."""
        return parse_number(self.text.partition(":")[0]) is not None


def look_up_user(root: Root, text: str) -> UserLookup:
    """The IDs behind the User of a config, as engines find them."""
    found = look_up_account(text, lambda path: root.text(path, MAX_TABLE_BYTES))
    return UserLookup(text, found.uid, found.gid)
