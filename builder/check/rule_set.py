"""All rules, in the order of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.rules import (
    base_system,
    listening_port,
    non_root,
    program,
    restricted_start,
    setuid,
    shutdown,
    size,
    surplus,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.check.inspection import CheckRule
    from slimtrace.builder.check.target_platform import TargetPlatform

RULES: tuple[CheckRule, ...] = (
    *non_root.RULES,
    *setuid.RULES,
    *surplus.RULES,
    *base_system.RULES,
    *program.RULES,
    *size.RULES,
    *restricted_start.RULES,
    *listening_port.RULES,
    *shutdown.RULES,
)


def select_rules(platforms: Iterable[TargetPlatform]) -> tuple[CheckRule, ...]:
    """The rules that apply to at least one of these platforms."""
    chosen = {*platforms}
    return tuple(rule for rule in RULES if chosen & rule.levels.keys())
