"""Evaluates the expressions with which PHP puts paths together.

What is computed becomes :data:`UNKNOWN`, so that the constant parts remain.
"""

from __future__ import annotations

import posixpath
import re
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.rules.name_pattern import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

OWN = "\1"
"""Stands before a path that begins at the source's own place. No path can have it."""

Values = frozenset[str]
UNKNOWN_VALUE: Values = frozenset({UNKNOWN})

_MAX_VALUES = 16
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


class PhpToken(NamedTuple):
    """A part of the code; ``end`` after its last part, or where too much was read.

    :ivar start: where it begins in the code.
    """

    kind: str
    text: str
    start: int


class PhpExpression:
    """One expression, from a place in the code on.

    :param names: the values of variables and constants.
    """

    def __init__(self, names: Mapping[str, Values], code: str, start: int = 0) -> None:
        self._names = names
        self._tokens = _list_tokens(code, start)
        self._token = next(self._tokens)

    @property
    def end(self) -> int:
        """Where the code begins that was not read."""
        return self._token.start

    def read(self) -> Values:
        """Read values with operators between them."""
        values = self._read_value()
        while (sign := self._token.text) in {".", "??", "?:", "?"}:
            self._next()
            if sign == "?":
                values = self.read()
                self._skip(":")
                values = _limit(values | self.read())
            elif sign == ".":
                values = _combine([values, self._read_value()])
            else:
                values = _limit(values | self._read_value())
        return values

    def read_list(self) -> list[Values]:
        """Read the elements of an array, ``[…]`` or ``array(…)``; or one value."""
        if self._token.text.lower() == "array":
            self._next()
        if self._token.text not in {"[", "("}:
            return [self.read()]
        return self._read_arguments("]" if self._token.text == "[" else ")")

    def _next(self) -> PhpToken:
        token = self._token
        self._token = next(self._tokens)
        return token

    def _skip(self, text: str) -> None:
        if self._token.text == text:
            self._next()

    def _read_value(self) -> Values:
        kind, text, _ = self._next()
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
            return _call(name.lstrip("\\").lower(), self._read_arguments(")"))
        if self._token.text == "[":
            self._read_arguments("]")
            return UNKNOWN_VALUE
        if name.startswith("$"):
            return self._names.get(name, UNKNOWN_VALUE)
        return self._names.get(re.split(r"::|\\", name)[-1], UNKNOWN_VALUE)

    def _read_arguments(self, end: str) -> list[Values]:
        self._next()
        found: list[Values] = []
        while self._token.kind != "end" and self._token.text != end:
            found.append(self.read())
            depth = 0
            while self._token.kind != "end" and (depth or self._token.text not in {",", end}):
                depth += (self._token.text in "([{") - (self._token.text in ")]}")
                self._next()
            self._skip(",")
        self._skip(end)
        return found

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
        return _combine(parts)


def _list_tokens(code: str, start: int) -> Iterator[PhpToken]:
    for _ in range(_MAX_TOKENS):
        match = _TOKEN.match(code, start)
        if match is None or match.lastgroup is None:
            break
        start = match.end()
        yield PhpToken(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))
    while True:
        yield PhpToken("end", "", start)


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


def _combine(parts: Sequence[Values]) -> Values:
    """Join each combination of values."""
    count = 1
    for values in parts:
        count *= len(values)
    if count > _MAX_VALUES:
        return UNKNOWN_VALUE
    return frozenset("".join(chosen) for chosen in product(*parts))


def _limit(values: Iterable[str]) -> Values:
    found = frozenset(values)
    return found if len(found) <= _MAX_VALUES else UNKNOWN_VALUE
