"""How processes end."""

from __future__ import annotations

from typing import NamedTuple


class Exited(NamedTuple):
    """How a process or thread ended. ``status`` as a shell says it: 128+N for signal N."""

    status: int
    signal: int | None
