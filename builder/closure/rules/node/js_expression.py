"""Evaluates the expressions with which JavaScript puts paths together.

What is computed becomes :data:`UNKNOWN`, so that the constant parts remain. An expression can have
several values: ``dev ? './a' : './b'``.
"""

from __future__ import annotations

import posixpath
import re
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.rules.name_pattern import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

OWN = "\1"
"""Stands before a path that begins at the source's own place. No path can have it."""

Values = frozenset[str]
UNKNOWN_VALUE: Values = frozenset({UNKNOWN})

_MAX_VALUES = 16
_MAX_DEPTH = 16
_MAX_TOKENS = 400
_FILE_URL = "file://"

_TOKEN = re.compile(
    r"""(?:\s|//[^\n]*|/\*.*?\*/)*(?:
      (?P<string>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    | (?P<template>`(?:[^`\\$]|\\.|\$\{[^}]*\}|\$)*`)
    | (?P<name>[A-Za-z_$][\w$]*(?:\s*\??\.\s*[A-Za-z_$][\w$]*)*)
    | (?P<number>\d[\w.]*)
    | (?P<sign>\?\?|\|\||&&|=>|\?\.|[=!<>]=+|.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_INSIDE = re.compile(r"\$\{([^}]*)\}")

_SAME = frozenset({"fileURLToPath", "pathToFileURL", "normalize", "realpathSync", "String"})
"""Functions that leave a path as it is. File URLs are treated as their paths."""


class JsToken(NamedTuple):
    """A part of the code; ``end`` after its last part, or where too much was read.

    :ivar start: where it begins in the code.
    """

    kind: str
    text: str
    start: int


class JsExpression:
    """One expression, from a place in the code on.

    :param names: the values of variables.
    """

    def __init__(self, names: dict[str, Values], code: str, start: int = 0, depth: int = 0) -> None:
        self._names = names
        self._depth = depth
        self._tokens = _list_tokens(code, start)
        self._token = next(self._tokens)

    @property
    def end(self) -> int:
        """Where the code begins that was not read."""
        return self._token.start

    def read(self) -> Values:
        """Read values with operators between them."""
        values = self._read_value()
        while (sign := self._token.text) in {"+", "||", "??", "&&", "?"}:
            self._next()
            if sign == "?":
                values = self.read()
                self._skip(":")
                values = _limit(values | self.read())
            elif sign == "+":
                values = _combine([values, self._read_value()], "".join)
            else:
                values = _limit(values | self._read_value())
        return values

    def _next(self) -> JsToken:
        token = self._token
        self._token = next(self._tokens)
        return token

    def _skip(self, text: str) -> None:
        if self._token.text == text:
            self._next()

    def _read_value(self) -> Values:
        kind, text, _ = self._next()
        values = UNKNOWN_VALUE
        if kind == "string":
            values = frozenset({text[1:-1]})
        elif kind == "template":
            values = self._interpolate(text[1:-1])
        elif text in {"new", "await"} and kind == "name":
            return self._read_value()
        elif text == "(":
            values = self.read()
            self._skip(")")
        elif kind == "name":
            values = self._read_name(re.sub(r"[\s?]", "", text))
        return self._read_members(values)

    def _read_name(self, name: str) -> Values:
        if self._token.text != "(":
            return self._names.get(name, UNKNOWN_VALUE)
        return _call(name.rpartition(".")[2], self.read_arguments())

    def read_arguments(self) -> list[Values]:
        """Read what is between parentheses."""
        self._next()
        found: list[Values] = []
        while self._token.kind != "end" and self._token.text != ")":
            found.append(self.read())
            self._skip_rest()
            self._skip(",")
        self._skip(")")
        return found

    def _skip_rest(self) -> None:
        """Skip what could not be read of an argument: an object, a function."""
        depth = 0
        while self._token.kind != "end" and (depth or self._token.text not in {",", ")"}):
            depth += (self._token.text in "([{") - (self._token.text in ")]}")
            self._next()

    def _read_members(self, values: Values) -> Values:
        """Read ``(…)(…)`` and ``(…).name(…)``: what they give is unknown."""
        while self._token.text in {"(", ".", "?."}:
            if self._token.text == "(":
                self.read_arguments()
            else:
                self._next()
                self._next()
            values = UNKNOWN_VALUE
        return values

    def _interpolate(self, text: str) -> Values:
        """Evaluate a template."""
        parts: list[Values] = []
        for at, part in enumerate(_INSIDE.split(text)):
            if at % 2 == 0:
                parts.append(frozenset({part}))
            elif self._depth < _MAX_DEPTH:
                parts.append(JsExpression(self._names, part, 0, self._depth + 1).read())
            else:
                parts.append(UNKNOWN_VALUE)
        return _combine(parts, "".join)


def _list_tokens(code: str, start: int) -> Iterator[JsToken]:
    for _ in range(_MAX_TOKENS):
        match = _TOKEN.match(code, start)
        if match is None or match.lastgroup is None:
            break
        start = match.end()
        yield JsToken(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup))
    while True:
        yield JsToken("end", "", start)


def _call(name: str, given: Sequence[Values]) -> Values:
    """Evaluate a call of a function of paths."""
    if not given:
        return UNKNOWN_VALUE
    match name:
        case "join":
            return _combine(given, _join)
        case "resolve":
            return _combine(given, _resolve)
        case "dirname":
            return _combine(given[:1], lambda parts: posixpath.dirname(parts[0]))
        case "URL" if len(given) > 1:
            return _combine(given[1::-1], _resolve_url)
    return given[0] if name in _SAME else UNKNOWN_VALUE


def _join(parts: Sequence[str]) -> str:
    return posixpath.normpath("/".join(part for part in parts if part))


def _resolve(parts: Sequence[str]) -> str:
    """Join from the last absolute path on. A path without one begins at the working directory."""
    starts = [at for at, part in enumerate(parts) if part.startswith(("/", OWN))]
    return _join(parts[starts[-1] :]) if starts else UNKNOWN


def _resolve_url(parts: Sequence[str]) -> str:
    """Resolve a relative URL against the URL of a file, or of a folder that ends in ``/``."""
    base, name = parts[0].removeprefix(_FILE_URL), parts[1]
    if re.match(r"[A-Za-z][\w+.-]*:", name) or name.startswith("/"):
        return UNKNOWN
    folder = base if base.endswith("/") else posixpath.dirname(base)
    return posixpath.normpath(f"{folder}/{name}")


def _combine(parts: Sequence[Values], make: Callable[[Sequence[str]], str]) -> Values:
    """Make a text of each combination of values."""
    count = 1
    for values in parts:
        count *= len(values)
    if count > _MAX_VALUES:
        return UNKNOWN_VALUE
    return frozenset(make(chosen) for chosen in product(*parts))


def _limit(values: Iterable[str]) -> Values:
    found = frozenset(values)
    return found if len(found) <= _MAX_VALUES else UNKNOWN_VALUE
