"""Evaluates the expressions with which JavaScript puts paths together.

What is computed becomes :data:`UNKNOWN`, so that the constant parts remain. An expression can have
several values: ``dev ? './a' : './b'``.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.name_pattern import UNKNOWN
from slimtrace.builder.closure.rules.path_values import (
    OWN,
    UNKNOWN_VALUE,
    PathExpression,
    Values,
    combine_values,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class JsExpression(PathExpression):
    """One expression, from a place in the code on.

    :param names: the values of variables.
    """

    join_sign = "+"
    choice_signs = frozenset({"||", "??", "&&"})

    def __init__(self, names: dict[str, Values], code: str, start: int = 0, depth: int = 0) -> None:
        super().__init__(_TOKEN, code, start, _MAX_TOKENS)
        self._names = names
        self._depth = depth

    def _read_value(self) -> Values:
        kind, text, *_ = self._next()
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
        return combine_values(parts)


def _call(name: str, given: Sequence[Values]) -> Values:
    """Evaluate a call of a function of paths."""
    if not given:
        return UNKNOWN_VALUE
    match name:
        case "join":
            return combine_values(given, _join)
        case "resolve":
            return combine_values(given, _resolve)
        case "dirname":
            return combine_values(given[:1], lambda parts: posixpath.dirname(parts[0]))
        case "URL" if len(given) > 1:
            return combine_values(given[1::-1], _resolve_url)
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
