"""How long platforms wait for a service to end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.platforms import HABITS

if TYPE_CHECKING:
    from slimtrace.builder.check.platforms import Platform


def grace_of(platform: Platform, asked: float | None) -> float:
    """Seconds: what the user says, or else the platform's habit."""
    return HABITS[platform].grace if asked is None else asked
