"""The values of expressions that put paths together, in languages with signs between them.

What is computed becomes :data:`UNKNOWN`, so that the constant parts remain. An expression can have
several values: ``dev ? './a' : './b'``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from itertools import product
from typing import TYPE_CHECKING, ClassVar

from slimtrace.builder.closure.rules.code_tokens import TokenReader
from slimtrace.builder.closure.rules.name_pattern import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

OWN = "\1"
"""Stands before a path that begins at the source's own place. No path can have it."""

Values = frozenset[str]
UNKNOWN_VALUE: Values = frozenset({UNKNOWN})

_MAX_VALUES = 16


class PathExpression(TokenReader, ABC):
    """One expression, from a place in the code on.

    :cvar join_sign: the sign that joins texts.
    :cvar choice_signs: those with another value behind them, for when the first is empty.
    """

    join_sign: ClassVar[str]
    choice_signs: ClassVar[frozenset[str]]
    _signs: ClassVar[frozenset[str]]

    def __init_subclass__(cls) -> None:
        cls._signs = cls.choice_signs | {cls.join_sign, "?"}

    def read(self) -> Values:
        """Read values with operators between them."""
        values = self._read_value()
        while (sign := self._token.text) in self._signs:
            self._next()
            if sign == "?":
                values = self.read()
                self._skip(":")
                values = limit_values(values | self.read())
            elif sign == self.join_sign:
                values = combine_values([values, self._read_value()])
            else:
                values = limit_values(values | self._read_value())
        return values

    def read_arguments(self, end: str = ")") -> list[Values]:
        """Read what is between brackets, the first of which is the next token."""
        self._next()
        found: list[Values] = []
        while self._token.kind != "end" and self._token.text != end:
            found.append(self.read())
            self._skip_rest(end)
            self._skip(",")
        self._skip(end)
        return found

    @abstractmethod
    def _read_value(self) -> Values:
        """Read a value without operators."""

    def _skip_rest(self, end: str) -> None:
        """Skip what could not be read of an argument: an object, a function."""
        depth = 0
        while self._token.kind != "end" and (depth or self._token.text not in {",", end}):
            depth += (self._token.text in "([{") - (self._token.text in ")]}")
            self._next()


def combine_values(
    parts: Sequence[Values], make: Callable[[Sequence[str]], str] = "".join
) -> Values:
    """Make a text of each combination of values."""
    count = 1
    for values in parts:
        count *= len(values)
    if count > _MAX_VALUES:
        return UNKNOWN_VALUE
    return frozenset(make(chosen) for chosen in product(*parts))


def limit_values(values: Iterable[str]) -> Values:
    """Give up where there are too many values."""
    found = frozenset(values)
    return found if len(found) <= _MAX_VALUES else UNKNOWN_VALUE
