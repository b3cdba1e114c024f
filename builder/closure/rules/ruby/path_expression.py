"""Evaluates the expressions with which Ruby sources put paths together.

What cannot be known is :data:`UNKNOWN`, so that the constant parts remain. An expression can have
several values: ``%w[a b].each { |name| require name }``.
"""

from __future__ import annotations

import posixpath
import re
from itertools import product
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.code_tokens import TokenReader
from slimtrace.builder.closure.rules.name_pattern import UNKNOWN, Pattern

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Values = frozenset[Pattern]

UNKNOWN_VALUE: Values = frozenset({Pattern(UNKNOWN)})
_MAX_VALUES = 64
_MAX_DEPTH = 16
_MAX_TOKENS = 256

_TOKEN = re.compile(
    r"""(?P<space>\s*)(?:
      (?P<words>%[wWiI](?:\[[^\]]*\]|\([^)]*\)|\{[^}]*\}|<[^>]*>))
    | (?P<double>"(?:[^"\\\#]|\\.|\#(?!\{)|\#\{[^}"]*(?:"[^"]*"[^}"]*)*\})*")
    | (?P<single>'(?:[^'\\]|\\.)*')
    | (?P<symbol>:[A-Za-z_]\w*)
    | (?P<name>(?:::)?[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*[?!]?|@{1,2}\w+|\$(?:\w+|:))
    | (?P<number>\d+)
    | (?P<sign>&\.|\|\||<<|.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_INSIDE = re.compile(r"#\{([^}\"]*(?:\"[^\"]*\"[^}\"]*)*)\}")

_SAME = frozenset(
    {"to_s", "to_str", "to_path", "freeze", "dup", "realpath", "cleanpath", "sort", "uniq"}
    | {"to_a", "reverse", "sort_by", "select", "reject", "map", "each", "each_with_index"}
)
"""Methods that leave a path, or a list of paths, as it is."""
_FILES = frozenset({"File", "::File", "Pathname", "::Pathname"})
_FOLDERS = frozenset({"Dir", "::Dir"})
_EACH = frozenset({"each", "map", "each_with_index", "flat_map", "each_entry", "filter_map"})


class Evaluation:
    """The values of one source's expressions.

    :param path: the source's path.

    :ivar loads: values of lists of which each element is loaded: ``….each(&method(:require))``.
    """

    def __init__(self, path: str) -> None:
        self._own: dict[str, Values] = {
            "__FILE__": frozenset({Pattern(path)}),
            "__dir__": frozenset({Pattern(posixpath.dirname(path))}),
        }
        self._known: dict[str, Values] = {}
        self.loads: list[Values] = []

    def define(self, name: str, values: Values) -> None:
        """Remember what an assignment gives a name, or a loop its variable."""
        self._known[name] = values

    def look_up(self, name: str) -> Values:
        """The values of a name."""
        return self._own.get(name) or self._known.get(name, UNKNOWN_VALUE)

    def join_own_folder(self, pattern: Pattern) -> Pattern:
        """Resolve a relative pattern against the source's folder."""
        (folder,) = self._own["__dir__"]
        return Pattern(_normalize(f"{folder.text}/{pattern.text}"), pattern.is_glob)

    def evaluate(self, code: str, start: int = 0, depth: int = 0) -> Values:
        """Evaluate the expression that begins somewhere in the code."""
        return _Expression(self, code, start, depth).read() if depth < _MAX_DEPTH else UNKNOWN_VALUE

    def evaluate_to_end(self, code: str, start: int) -> tuple[Values, int]:
        """Evaluate the expression that begins somewhere in the code; and where it ends."""
        expression = _Expression(self, code, start, 0)
        return expression.read(), expression.end


class _Expression(TokenReader):
    """One expression, from a place in the code."""

    def __init__(self, evaluation: Evaluation, code: str, start: int, depth: int) -> None:
        super().__init__(_TOKEN, code, start, _MAX_TOKENS)
        self._evaluation = evaluation
        self._depth = depth

    def read(self) -> Values:
        """Read values with operators between them."""
        values = self._read_value()
        while not self._token.is_first:
            sign = self._token.text
            if sign in {"||", "or"}:
                self._next()
                values = _limit(values | self._read_value())
            elif sign in {"+", "/"}:
                self._next()
                make = _join if sign == "/" else "".join
                values = _combine([values, self._read_value()], make)
            elif sign == "?":
                self._next()
                values = self.read()
                self._skip(":")
                values = _limit(values | self.read())
            else:
                break
        return values

    def read_list(self, end: str) -> list[Values]:
        """Read values with commas between them, and the sign after the last one."""
        found: list[Values] = []
        while self._token.kind != "end" and self._token.text != end:
            name = self._token.text
            found.append(self.read())
            if self._token.text == ":":  # base: "x"
                self._next()
                self.read()
                found.pop()
            elif name == "&":
                found.pop()
            if self._token.text != ",":
                break
            self._next()
        self._skip(end)
        return found

    def _read_value(self) -> Values:
        kind, text, *_ = self._next()
        values = UNKNOWN_VALUE
        if kind == "single":
            values = frozenset({Pattern(text[1:-1])})
        elif kind == "double":
            values = self._interpolate(text[1:-1])
        elif kind == "symbol":
            values = frozenset({Pattern(text[1:])})
        elif kind == "words":
            values = _limit(Pattern(each) for each in text[3:-1].split())
        elif text == "(":
            values = self.read()
            self._skip(")")
        elif text == "[":
            values = _limit(each for item in self.read_list("]") for each in item)
        elif kind == "name":
            values = self._read_name(text)
        return self._read_methods(values)

    def _read_name(self, name: str) -> Values:
        """Read a variable, a constant, or a call of one of the classes of paths."""
        if name in _FOLDERS and self._token.text == "[":
            self._next()
            return _mark_globs(each for item in self.read_list("]") for each in item)
        if name == "Pathname" and self._token.text == "(":
            return (self._read_arguments() or [UNKNOWN_VALUE])[0]
        if name in _FOLDERS | _FILES and self._token.text in {".", "&."}:
            self._next()
            method = self._next().text
            given = self._read_arguments()
            if name in _FOLDERS:
                is_list = method in {"glob", "[]", "children", "entries"}
                return _mark_globs(each for item in given for each in item if is_list)
            return _combine(given, _join) if method == "join" else _call_file_method(method, given)
        return self._evaluation.look_up(name)

    def _read_arguments(self) -> list[Values]:
        if self._token.text == "(":
            self._next()
            return self.read_list(")")
        starts_value = self._token.kind not in {"sign", "end"} and not self._token.is_first
        return self.read_list("") if starts_value else []

    def _read_methods(self, values: Values) -> Values:
        while self._token.text in {".", "&."}:
            self._next()
            method = self._next().text
            if method in _EACH and self._token.text == "(":
                self._read_loader(values)
                continue
            given = self._read_arguments() if self._token.text == "(" else []
            values = _call_path_method(method, values, given)
            self._read_block(values if method in _EACH else UNKNOWN_VALUE)
        return values

    def _read_loader(self, values: Values) -> None:
        """Read ``(&method(:require))``."""
        tokens = [self._next().text for _ in range(7)]
        if tokens[:4] == ["(", "&", "method", "("] and tokens[4][1:] in _LOADERS:
            self._evaluation.loads.append(values)

    def _read_block(self, values: Values) -> None:
        """Give a block's variable its values: ``{ |name| …``, ``do |name| …``."""
        if self._token.text not in {"{", "do"} or self._token.is_first:
            return
        self._next()
        if self._token.text == "|":
            self._next()
            self._evaluation.define(self._next().text, values)

    def _interpolate(self, text: str) -> Values:
        """Evaluate a string with ``#{…}`` in it."""
        parts = _INSIDE.split(text)
        values = [
            self._evaluation.evaluate(part, 0, self._depth + 1)
            if at % 2
            else frozenset({Pattern(part)})
            for at, part in enumerate(parts)
        ]
        return _combine(values, "".join)


_LOADERS = frozenset({"require", "require_relative", "load"})


def _call_path_method(method: str, values: Values, given: list[Values]) -> Values:
    """Evaluate a method of a path."""
    if method in {"join", "+", "/"}:
        return _combine([values, *given], _join)
    if method == "expand_path":
        return _call_file_method(method, [values, *given])
    if method in {"dirname", "parent"}:
        return _call_file_method("dirname", [values])
    if method == "glob" and given:
        return _mark_globs(_combine([values, *given[:1]], _join))
    return values if method in _SAME else UNKNOWN_VALUE


def _call_file_method(method: str, given: list[Values]) -> Values:
    """Evaluate a method of File or Pathname that takes a path."""
    if not given:
        return UNKNOWN_VALUE
    if method in {"expand_path", "absolute_path", "realpath", "realdirpath"}:
        return _combine(given[1::-1] if len(given) > 1 else given[:1], _resolve)
    if method == "dirname":
        return _combine(given[:1], lambda parts: posixpath.dirname(parts[0]) or ".")
    return given[0] if method in {"new", "path"} else UNKNOWN_VALUE


def _join(parts: Iterable[str]) -> str:
    return _normalize("/".join(part for part in parts if part))


def _resolve(parts: Iterable[str]) -> str:
    """Resolve the last path against the first. What has no absolute base is unknown."""
    path = posixpath.join(*parts)
    return _normalize(path) if path.startswith("/") else UNKNOWN


def _normalize(path: str) -> str:
    return posixpath.normpath(path).replace("//", "/") if path else path


def _combine(parts: list[Values], make: Callable[[list[str]], str]) -> Values:
    """Make a name of each combination of values."""
    count = 1
    for values in parts:
        count *= len(values)
    if not parts or count > _MAX_VALUES:
        return UNKNOWN_VALUE
    return frozenset(
        Pattern(make([each.text for each in chosen]), any(each.is_glob for each in chosen))
        for chosen in product(*parts)
    )


def _limit(values: Iterable[Pattern]) -> Values:
    found = frozenset(values)
    return found if 0 < len(found) <= _MAX_VALUES else UNKNOWN_VALUE


def _mark_globs(values: Iterable[Pattern]) -> Values:
    return _limit(Pattern(value.text, is_glob=True) for value in values)
