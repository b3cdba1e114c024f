"""All rules, in the order in which they are reported."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.check.rules import (
    baseline,
    network,
    privilege,
    program,
    size,
    starting,
    stopping,
    surplus,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.check.platforms import Platform
    from slimtrace.builder.check.rule import Rule

RULES: tuple[Rule, ...] = (
    *user.RULES,
    *privilege.RULES,
    *surplus.RULES,
    *baseline.RULES,
    *program.RULES,
    *size.RULES,
    *starting.RULES,
    *network.RULES,
    *stopping.RULES,
)


def rules_for(platforms: Iterable[Platform]) -> tuple[Rule, ...]:
    """Those that count on one of these platforms."""
    wanted = {*platforms}
    return tuple(rule for rule in RULES if wanted & rule.levels.keys())
