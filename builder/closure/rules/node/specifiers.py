"""Finds the constants by which JavaScript names modules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRING = r"""(?:'([^'\\\n]+)'|"([^"\\\n]+)"|`([^`\\$\n]+)`)"""
_GAP = r"(?:\s|/\*.*?\*/)*"

_IMPORT = re.compile(
    rf"""(?<![\w$])(?:
        (?P<call>require(?:\s*\.\s*resolve)?) {_GAP}\({_GAP}{_STRING}{_GAP}[,)]
      | import(?:\s*\.\s*meta\s*\.\s*resolve)? {_GAP}\({_GAP}{_STRING}{_GAP}[,)]
      | (?:from|import) {_GAP}{_STRING}
    )""",
    re.VERBOSE | re.DOTALL,
)

_DIRNAME = re.compile(rf"(?<![\w$])__dirname{_GAP}\+{_GAP}{_STRING}{_GAP}\)", re.DOTALL)
"""``require(__dirname + "/x")``, and other calls with this argument: they name files too."""

_LITERAL = re.compile(
    r"""
      (?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))
    | '(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*" | `(?:[^`\\]|\\.)*`
    | (?:[=(,:;!&|?{}\[+*%<>~^-]|\b(?:return|typeof|case|in|of|void|do|else)\b)\s*
      /(?![/*])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/
    """,
    re.VERBOSE | re.DOTALL,
)
"""A comment, or a literal that may contain ``//`` or ``/*``: string, template, regular expression.

Only a parser can distinguish a regular expression from a division. After ``)`` and names, a slash
is taken as a division. The effect of a mistake ends with the line, or at the next backtick.
"""


class Specifier(NamedTuple):
    """The name of a module.

    :ivar is_required: whether ``require`` loads it: a package can have other files for ``import``.
    """

    name: str
    is_required: bool


def find_specifiers(source: str) -> Iterator[Specifier]:
    """Find the modules that a source names by constants outside comments.

    It cannot know computed names, ``require`` under another name (as in a bundle), and evaluated
    code. A name inside a string counts: a module too many is better than one too few.
    """
    imports = list(_IMPORT.finditer(source))
    beside = list(_DIRNAME.finditer(source))
    if not imports and not beside:
        return
    comments = [match.span() for match in _LITERAL.finditer(source) if match["comment"]]
    for match in _filter_outside(imports, comments):
        name = next(group for group in match.groups()[1:] if group is not None)
        yield Specifier(name, match["call"] is not None)
    for match in _filter_outside(beside, comments):
        name = next(group for group in match.groups() if group is not None)
        yield Specifier(f"./{name.lstrip('/')}", is_required=True)


def _filter_outside(
    matches: list[re.Match[str]], comments: list[tuple[int, int]]
) -> Iterator[re.Match[str]]:
    """Keep the matches that begin in no comment; both lists are in the order of the text."""
    spans = iter([*comments, (1 << 62, 1 << 62)])
    start, end = next(spans)
    for match in matches:
        while end <= match.start():
            start, end = next(spans)
        if match.start() < start:
            yield match
