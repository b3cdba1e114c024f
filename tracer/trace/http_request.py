"""A request that drives an app, as a trace records it."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request to the app, with all that is needed to repeat it.

    :ivar target: the path with its query.
    :ivar headers: those that were given; others are added when it is sent.
    :ivar body: its bytes, decoded with ``surrogateescape``; None if it has none.
    :ivar name: the name by which later requests refer to its answer.
    :ivar references: expressions within ``{{`` and ``}}`` that stand for a value when the request
        is sent: ``$env NAME``, or a part of an earlier answer.
    :ivar is_optional: whether the run goes on whatever the answer is.
    """

    method: str = "GET"
    target: str = "/"
    headers: tuple[tuple[str, str], ...] = ()
    body: str | None = None
    name: str | None = None
    references: tuple[str, ...] = ()
    is_optional: bool = False

    @property
    def shown(self) -> str:
        """How messages and results call it."""
        return f"{self.method} {self.target}"

    @property
    def body_bytes(self) -> bytes | None:
        return None if self.body is None else os.fsencode(self.body)
