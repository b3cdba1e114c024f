"""The closure rules: which files a kept file implies. Each is named by the reason that it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.closure.baseline_parts import PARTS
from slimtrace.builder.closure.rules import (
    app,
    certificates,
    data,
    directory_listing,
    dlopen,
    erlang,
    gconv,
    locale,
    lua,
    natives,
    node,
    nss,
    perl,
    php,
    python,
    r,
    ruby,
    shell,
    tcl,
    terminfo,
    whole_package,
)
from slimtrace.builder.closure.rules.java import jvm_rules, native_halves
from slimtrace.builder.model import Keep
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import ClosureRule

RULES: tuple[ClosureRule, ...] = (
    dlopen.RULE,
    nss.RULE,
    locale.RULE,
    gconv.RULE,
    terminfo.RULE,
    certificates.RULE,
    directory_listing.RULE,
    *python.RULES,
    *node.RULES,
    *jvm_rules.RULES,
    native_halves.RULE,
    *ruby.RULES,
    *perl.RULES,
    *r.RULES,
    *erlang.RULES,
    *shell.RULES,
    *php.RULES,
    *lua.RULES,
    *tcl.RULES,
    *app.RULES,
    *data.RULES,
    *natives.RULES,
    whole_package.RULE,
)

_LEVELS = [*Keep]


def choose_rules(keep: Keep, without: Iterable[str] = ()) -> tuple[ClosureRule, ...]:
    """Choose the rules of a level, without those that are disabled by name.

    :raises UsageError: there is no rule with such a name.
    """
    names = {rule.reason.value for rule in RULES} | {part.value for part in PARTS}
    disabled = frozenset(without)
    for name in sorted(disabled - names):
        raise UsageError(
            f"cannot use --without-rule {name}: there is no such rule",
            f"the rules are {', '.join(sorted(names))}",
        )
    level = _LEVELS.index(keep)
    return tuple(
        rule
        for rule in RULES
        if _LEVELS.index(rule.level) <= level and rule.reason.value not in disabled
    )
