"""Evaluates the expressions with which Perl code puts paths together.

As ``use lib "$FindBin::Bin/../lib"`` and ``catdir(dirname(__FILE__), "templates")``. What cannot be
known is :data:`UNKNOWN`, so that the constant parts remain.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.name_pattern import UNKNOWN, Pattern

if TYPE_CHECKING:
    from collections.abc import Iterator

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<qw>qw\s*(?:\([^)]*\)|\[[^\]]*\]|\{[^}]*\}|/[^/]*/|<[^>]*>))
    | (?P<double>"(?:[^"\\]|\\.)*"|qq\{[^}]*\})
    | (?P<single>'(?:[^'\\]|\\.)*'|q\{[^}]*\})
    | (?P<variable>\$(?:\w+(?:::\w+)*|\{\w+(?:::\w+)*\}))
    | (?P<name>[A-Za-z_]\w*(?:::\w+)*)
    | (?P<arrow>->) | (?P<number>\d+)
    | (?P<sign>//|\|\||.)
    )""",
    re.VERBOSE | re.DOTALL,
)
_INSIDE = re.compile(
    r"\$\{?(?P<name>\w+(?:::\w+)*)\}?(?P<element>(?:(?:->)?(?:\[[^\]\n]*\]|\{[^}\n]*\}))*)"
)
_ADDED = re.compile(r"(?:use\s+lib\b|(?:unshift|push)\s*\(?\s*@INC\s*,)")
_ASSIGNED = re.compile(r"\$(?P<name>\w+)\s*(?:\|\||//)?=(?![=~])")
_BEGUN = re.compile(
    r"(?:File::Spec(?:::Functions)?(?:->|::))?(?:catfile|catdir)\b|(?:curfile|path|glob)\b\s*[(-]"
    r"|(?:File::Basename::)?dirname\s*\(|\"\$\{?(?:FindBin::(?:Real)?Bin|(?:Real)?Bin|\w+)\}?/[^\"\n]*\""
    r"|\$(?:FindBin::)?(?:Real)?Bin\s*\."
)
_HINTS = ("FindBin", "__FILE__", "__DIR__", "curfile", "@INC", "use lib", "$0")
"""A source without any of these puts no path together from its own folder."""

_SCRIPT_FOLDERS = frozenset({"FindBin::Bin", "FindBin::RealBin", "Bin", "RealBin"})
_SAME = frozenset(
    {"abs_path", "realpath", "fast_abs_path", "rel2abs", "canonpath", "path", "to_string", "Cwd"}
    | {"absolute", "stringify", "to_abs", "file", "dir", "new", "glob", "bsd_glob", "realpath"}
)
_JOINS = frozenset({"catdir", "catfile", "child", "rel_file", "subdir", "path_to"})
_PARENTS = frozenset({"dirname", "parent"})
_MAX_TOKENS = 64


@dataclass(frozen=True, slots=True)
class PerlPaths:
    """The paths that a source puts together.

    :ivar libraries: folders that it adds to @INC; those that are not absolute are relative to the
        working directory.
    :ivar paths: absolute paths of other files and folders.
    """

    libraries: frozenset[str]
    paths: frozenset[Pattern]


_NONE = PerlPaths(frozenset(), frozenset())


def evaluate_paths(code: str, path: str, script_folder: str) -> PerlPaths:
    """Evaluate what a source puts together.

    :param path: its own path, which ``__FILE__`` is.
    :param script_folder: the folder of the program, which ``$FindBin::Bin`` is; "" if unknown.
    """
    if not any(hint in code for hint in _HINTS):
        return _NONE
    libraries: set[str] = set()
    paths: set[Pattern] = set()
    known = dict.fromkeys(_SCRIPT_FOLDERS, script_folder or UNKNOWN)
    known["0"] = path if script_folder == posixpath.dirname(path) else UNKNOWN
    starts = [
        *((match.end(), "@INC") for match in _ADDED.finditer(code)),
        *((match.end(), match["name"]) for match in _ASSIGNED.finditer(code)),
        *((match.start(), "") for match in _BEGUN.finditer(code)),
    ]
    for start, use in sorted(starts):
        values = _Expression(code, start, path, known).evaluate_list(is_list=use == "@INC")
        if use == "@INC":
            libraries.update(value for value in values if UNKNOWN not in value and value)
            continue
        if use and values:
            known[use] = values[0]
        is_glob = code.startswith("glob", start)
        paths.update(Pattern(value, is_glob) for value in values if value.startswith("/"))
    return PerlPaths(frozenset(libraries), frozenset(paths))


class _Expression:
    """One expression, from a place in the code."""

    def __init__(self, code: str, start: int, path: str, known: dict[str, str]) -> None:
        self._tokens = _list_tokens(code, start)
        self._path = path
        self._known = known
        self._kind, self._text = next(self._tokens)

    def evaluate_list(self, *, is_list: bool) -> list[str]:
        """Evaluate the expression; or if it is a list, each of its elements."""
        found = self._read_list() if is_list else [self._read_sum()]
        return [posixpath.normpath(each) if "/" in each else each for each in found]

    def _next(self) -> None:
        self._kind, self._text = next(self._tokens)

    def _read_list(self) -> list[str]:
        """Read values with commas between them."""
        found: list[str] = []
        while self._kind != "end":
            if self._kind == "qw":
                found += re.split(r"\s+", re.sub(r"^qw\s*.|.$", "", self._text).strip())
                self._next()
            elif self._text in ")]}":
                break
            else:
                found.append(self._read_sum())
            if self._text != ",":
                break
            self._next()
        return found

    def _read_sum(self) -> str:
        """Read values with ``.`` between them; of alternatives the first."""
        value = self._read_value()
        while self._text == "." and self._kind == "sign":
            self._next()
            value += self._read_value()
        return value

    def _read_value(self) -> str:
        kind, text = self._kind, self._text
        self._next()
        value = UNKNOWN
        if kind == "single":
            value = re.sub(r"^(?:q\{|')|['}]$", "", text)
        elif kind == "double":
            value = self._interpolate(re.sub(r'^(?:qq\{|")|["}]$', "", text))
        elif kind == "variable":
            value = self._known.get(text.strip("${}"), UNKNOWN)
        elif text == "(":
            value = "/".join(self._read_arguments())
        elif kind == "name":
            value = self._read_call(text, [])
        while self._kind == "arrow":
            self._next()
            name = self._text
            self._next()
            value = self._read_call(name, [value])
        return value

    def _read_arguments(self) -> list[str]:
        found = self._read_list()
        if self._text == ")":
            self._next()
        return found

    def _read_call(self, name: str, given: list[str]) -> str:
        """Evaluate a function or a method, of which the object is given."""
        name = name.rpartition("::")[2] if not given else name
        if name in {"__FILE__", "curfile"}:
            return self._path
        if name == "__DIR__":
            return posixpath.dirname(self._path)
        if self._kind == "arrow" and not given and name not in _SAME:
            return ""  # a class: its method is a function of the arguments
        if self._text == "(":
            self._next()
            given = [*given, *self._read_arguments()]
        elif not given and (name in _SAME or name in _PARENTS):
            given = [self._read_value()]
        return _call(name, [each for each in given if each])

    def _interpolate(self, text: str) -> str:
        def find(match: re.Match[str]) -> str:
            return UNKNOWN if match["element"] else self._known.get(match["name"], UNKNOWN)

        return _INSIDE.sub(find, text)


def _call(name: str, given: list[str]) -> str:
    if not given:
        return UNKNOWN
    if name in _JOINS:
        return posixpath.normpath("/".join(given))
    if name in _PARENTS:
        return posixpath.dirname(posixpath.normpath(given[0]))
    if name == "sibling":
        return posixpath.normpath("/".join([posixpath.dirname(given[0]), *given[1:]]))
    return posixpath.normpath("/".join(given)) if name in _SAME else UNKNOWN


def _list_tokens(code: str, start: int) -> Iterator[tuple[str, str]]:
    """List the tokens up to the end of a statement."""
    for _ in range(_MAX_TOKENS):
        match = _TOKEN.match(code, start)
        if match is None or match[0].strip() in {";", ""}:
            break
        start = match.end()
        yield match.lastgroup or "", match[0].strip()
    while True:
        yield "end", ""
