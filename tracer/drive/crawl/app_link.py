"""What an answer names."""

from __future__ import annotations

from typing import NamedTuple


class AppLink(NamedTuple):
    """What an answer names.

    :ivar is_page: whether it is another page; else it is needed to show this one.
    """

    url: str
    is_page: bool = False
