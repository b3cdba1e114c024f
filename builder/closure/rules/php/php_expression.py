"""Evaluates the expressions with which PHP puts paths together.

What is computed becomes :data:`UNKNOWN`, so that the constant parts remain.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.path_values import (
    UNKNOWN_VALUE,
    PathExpression,
    Values,
    combine_values,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_TOKENS = 200
_MAX_LEVELS = 32

_TOKEN = re.compile(
    r"""(?:\s|//[^\n]*|\#[^\n]*|/\*.*?\*/)*(?:
      (?P<single>'(?:[^'\\]|\\.)*')
    | (?P<double>"(?:[^"\\]|\\.)*")
    | (?P<name>(?:\$|\\?)[A-Za-z_][\w\\]*(?:(?:->|::)\$?\w+)*)
    | (?P<number>\d+)
    | (?P<sign>\?\?|\?:|=>|.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_INSIDE = re.compile(r"\{(\$[^}]*)\}|\$\{(\w+)\}|(\$\w+(?:->\w+|\[[^\]]*\])?)")
_ESCAPE = re.compile(r"\\([\\'\"$])")

_SAME = frozenset({"realpath", "rtrim", "strval", "trailingslashit", "wp_normalize_path"})
"""Functions that leave a path as it is, but for a slash at its end."""


class PhpExpression(PathExpression):
    """One expression, from a place in the code on.

    :param names: the values of variables and constants.
    """

    join_sign = "."
    choice_signs = frozenset({"??", "?:"})

    def __init__(self, names: Mapping[str, Values], code: str, start: int = 0) -> None:
        super().__init__(_TOKEN, code, start, _MAX_TOKENS)
        self._names = names

    def read_list(self) -> list[Values]:
        """Read the elements of an array, ``[…]`` or ``array(…)``; or one value."""
        if self._token.text.lower() == "array":
            self._next()
        if self._token.text not in {"[", "("}:
            return [self.read()]
        return self.read_arguments("]" if self._token.text == "[" else ")")

    def _read_value(self) -> Values:
        kind, text, *_ = self._next()
        if kind == "single":
            return frozenset({_ESCAPE.sub(r"\1", text[1:-1])})
        if kind == "double":
            return self._interpolate(text[1:-1])
        if kind == "number":
            return frozenset({text})
        if text == "(":
            values = self.read()
            self._skip(")")
            return values
        return self._read_name(text) if kind == "name" else UNKNOWN_VALUE

    def _read_name(self, name: str) -> Values:
        if self._token.text == "(":
            return _call(name.lstrip("\\").lower(), self.read_arguments())
        if self._token.text == "[":
            self.read_arguments("]")
            return UNKNOWN_VALUE
        if name.startswith("$"):
            return self._names.get(name, UNKNOWN_VALUE)
        return self._names.get(re.split(r"::|\\", name)[-1], UNKNOWN_VALUE)

    def _interpolate(self, text: str) -> Values:
        """Evaluate a string with variables in it."""
        parts: list[Values] = []
        end = 0
        for match in _INSIDE.finditer(text):
            name = match[1] or (f"${match[2]}" if match[2] else match[3])
            parts.append(frozenset({_ESCAPE.sub(r"\1", text[end : match.start()])}))
            parts.append(self._names.get(name, UNKNOWN_VALUE))
            end = match.end()
        parts.append(frozenset({_ESCAPE.sub(r"\1", text[end:])}))
        return combine_values(parts)


def _call(name: str, given: Sequence[Values]) -> Values:
    """Evaluate a call of a function of paths."""
    if not given or name not in {"dirname", *_SAME}:
        return UNKNOWN_VALUE
    values = given[0]
    if name != "dirname":
        return values
    (levels,) = given[1] if len(given) > 1 and len(given[1]) == 1 else {"1"}
    if not levels.isdecimal():
        return UNKNOWN_VALUE
    for _ in range(min(int(levels), _MAX_LEVELS)):
        values = frozenset(posixpath.dirname(text.rstrip("/")) for text in values)
    return values
