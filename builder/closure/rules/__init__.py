"""What touched files imply: one small function each, its name the reason of what it brings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.baseline.parts import PARTS
from slimtrace.builder.closure.rules import (
    certificates,
    dlopened,
    gconv,
    java,
    listed,
    locale,
    node,
    nss,
    package,
    perl,
    python,
    ruby,
    terminfo,
)
from slimtrace.builder.model import Keep
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import Rule

RULES: tuple[Rule, ...] = (
    dlopened.RULE,
    nss.RULE,
    locale.RULE,
    gconv.RULE,
    terminfo.RULE,
    certificates.RULE,
    listed.RULE,
    *python.RULES,
    *node.RULES,
    *java.RULES,
    *ruby.RULES,
    *perl.RULES,
    package.RULE,
)

_LEVELS = [*Keep]


def rules_of(keep: Keep, without: Iterable[str] = ()) -> tuple[Rule, ...]:
    """The rules of a level, but for those that are switched off by name.

    :raises UsageError: there is no rule of a name.
    """
    names = {rule.reason.value for rule in RULES} | {part.value for part in PARTS}
    off = frozenset(without)
    for name in sorted(off - names):
        raise UsageError(
            f"cannot use --without-rule {name}: there is no such rule",
            f"the rules are {', '.join(sorted(names))}",
        )
    most = _LEVELS.index(keep)
    return tuple(
        rule for rule in RULES if _LEVELS.index(rule.level) <= most and rule.reason.value not in off
    )
