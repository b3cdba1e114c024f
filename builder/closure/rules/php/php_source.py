"""What a PHP source includes and names by its own place, and the class maps that it has."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.name_pattern import UNKNOWN
from slimtrace.builder.closure.rules.path_values import OWN, UNKNOWN_VALUE
from slimtrace.builder.closure.rules.php.php_expression import PhpExpression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.closure.rules.path_values import Values

_HINT = re.compile(r"\b(?:include|require)(?:_once)?\s*[(\"'$A-Z_\\]|__(?:DIR|FILE)__")
"""A source without any of these includes nothing and names nothing by its own place."""

_CONSTANTS = (
    r"\bdefine\s*\(\s*['\"](?P<defined>\w+)['\"]\s*,\s*|\bconst\s+(?:\w+\s+)?(?P<const>\w+)\s*=\s*"
)
_DEFINITIONS = re.compile(rf"{_CONSTANTS}|(?P<variable>\$\w+(?:->\w+)?)\s*(?:\?\?)?=(?![=>~])\s*")
_STARTS = (
    r"(?P<include>(?<![\w$>:\\])(?:include|require)(?:_once)?\b)"
    r"|(?<![\w$>:\\])(?:dirname|realpath|rtrim)\s*\(|\b__(?:DIR|FILE)__\b|\"(?=[^\"\n]*\$)"
)
"""Where an expression can begin that gives a path."""

_ELEMENT = re.compile(
    r"(?:'((?:[^'\\]|\\.)+)'|\"((?:[^\"\\$]|\\.)+)\"|(\\?[\w\\]+)::class)\s*=>\s*"
)
_QUOTED = re.compile(
    r"/\*.*?(?:\*/|\Z)|(?://|\#(?!\[))[^\n]*|'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"", re.DOTALL
)
_MAX_EVALUATED_CHARACTERS = 1 << 19
_MAX_MAP_CHARACTERS = 1 << 24
"""A class map of a large app has some ten thousand lines."""

_MAX_NAMES = 200
_MAX_ROUNDS = 3


@dataclass(slots=True)
class PhpNames:
    """What a source names. Computed parts are ``UNKNOWN``.

    :ivar included: what it includes: absolute paths, and relative ones.
    :ivar paths: other absolute paths that begin at its own place.
    """

    included: set[str] = field(default_factory=set)
    paths: set[str] = field(default_factory=set)


def read_php_names(source: str, path: str, constants: Mapping[str, Values]) -> PhpNames:
    """Find what a source includes, and which paths it puts together from its own place.

    :param path: the source's own path.
    :param constants: constants of the app, for names such as ``ABSPATH . 'wp-load.php'``.
    """
    if len(source) > _MAX_EVALUATED_CHARACTERS or not _HINT.search(source):
        return PhpNames()
    names = _read_definitions(_DEFINITIONS, source, path, constants)
    own = [name for name, values in names.items() if any(text[:1] == OWN for text in values)]
    words = "".join(rf"|(?<![\w$]){re.escape(name)}\b" for name in sorted(own)[:_MAX_NAMES])
    quoted: list[tuple[int, int]] | None = None
    found, end = PhpNames(), 0
    for match in re.finditer(_STARTS + words, source):
        if match.start() < end:
            continue
        at = match.end() if match["include"] else match.start()
        expression = PhpExpression(names, source, at)
        texts = expression.read()
        if not match["include"]:
            texts = frozenset(text for text in texts if text.startswith(f"{OWN}/"))
        if not texts:
            continue
        quoted = [each.span() for each in _QUOTED.finditer(source)] if quoted is None else quoted
        if not _is_inside(quoted, match.start()):
            kind = found.included if match["include"] else found.paths
            kind.update(text.removeprefix(OWN) for text in texts if text)
            end = expression.end
    return found


def read_constants(source: str, path: str, known: Mapping[str, Values]) -> dict[str, Values]:
    """Find the constants that a source defines as paths or names."""
    if len(source) > _MAX_EVALUATED_CHARACTERS:
        return {}
    if "define" not in source and "const" not in source:
        return {}
    found = _read_definitions(re.compile(_CONSTANTS), source, path, known)
    given = {*_make_own_names(path), *known}
    return {name: values for name, values in found.items() if name not in given}


def read_map(source: str, path: str) -> dict[str, list[str]]:
    r"""Read the arrays of an autoloader: class or prefix → paths.

    ``'A\B' => $dir . '/B.php'``, ``'A\' => [$dir . '/src']``, and ``'a\b' => '/B.php'``, to which
    the autoloader adds its own folder.
    """
    if len(source) > _MAX_MAP_CHARACTERS or "=>" not in source:
        return {}
    names = _read_definitions(_DEFINITIONS, source, path, {})
    found: dict[str, list[str]] = {}
    for match in _ELEMENT.finditer(source):
        listed = PhpExpression(names, source, match.end()).read_list()
        texts = [text for values in listed for text in sorted(values)]
        if paths := [place for text in texts if (place := _find_place(text, path))]:
            key = re.sub(r"\\\\", r"\\", match[1] or match[2] or match[3])
            found.setdefault(key.lstrip("\\"), []).extend(paths)
    return found


def _make_own_names(path: str) -> dict[str, Values]:
    return {
        "__FILE__": frozenset({f"{OWN}{path}"}),
        "__DIR__": frozenset({f"{OWN}{posixpath.dirname(path)}"}),
        "DIRECTORY_SEPARATOR": frozenset({"/"}),
    }


def _read_definitions(
    definitions: re.Pattern[str], source: str, path: str, known: Mapping[str, Values]
) -> dict[str, Values]:
    """Evaluate what names are given, until nothing is new: some are made of later ones."""
    names = {**known, **_make_own_names(path)}
    for _ in range(_MAX_ROUNDS):
        before = len(names)
        for match in definitions.finditer(source):
            name = match[match.lastgroup or 0]
            values = PhpExpression(names, source, match.end()).read()
            if values != UNKNOWN_VALUE and UNKNOWN not in "".join(values)[:1]:
                names[name] = names[name] | values if name in names else values
        if len(names) == before:
            break
    return names


def _find_place(text: str, path: str) -> str:
    """Find the path in an element of a map; "" if it is none."""
    if UNKNOWN in text:
        return ""
    if text.startswith(f"{OWN}/"):
        return posixpath.normpath(text.removeprefix(OWN))
    is_beside = text.startswith("/") and text.endswith(".php")
    return posixpath.normpath(f"{posixpath.dirname(path)}{text}") if is_beside else ""


def _is_inside(spans: list[tuple[int, int]], position: int) -> bool:
    """Whether a position is in one of these spans, which are in the order of the text."""
    at = bisect_right(spans, position, key=lambda span: span[0]) - 1
    return at >= 0 and spans[at][0] < position < spans[at][1]
