"""Finds the constants by which JavaScript names modules."""

from __future__ import annotations

import re
from bisect import bisect_right
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

_WORDS = re.compile(r"require|import|from")
"""Where :data:`_IMPORT` can begin. A search for words is quick, one for the pattern is not."""

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
    imports = [
        match
        for word in _WORDS.finditer(source)
        if (match := _IMPORT.match(source, word.start())) is not None
    ]
    beside = list(_DIRNAME.finditer(source)) if "__dirname" in source else []
    matches = [*imports, *beside]
    if not any(_may_be_in_comment(source, match.start()) for match in matches):
        comments = []
    else:
        comments = [match.span() for match in _LITERAL.finditer(source) if match["comment"]]
    for match in _filter_outside(imports, comments):
        name = next(group for group in match.groups()[1:] if group is not None)
        yield Specifier(name, match["call"] is not None)
    for match in _filter_outside(beside, comments):
        name = next(group for group in match.groups() if group is not None)
        yield Specifier(f"./{name.lstrip('/')}", is_required=True)


def _may_be_in_comment(source: str, position: int) -> bool:
    """Whether a comment begins on the line, or a block is open, as far as text alone can say.

    To read the whole source for its comments takes ten times as long, and few need it.
    """
    line = source.rfind("\n", 0, position) + 1
    if source.find("//", line, position) >= 0:
        return True
    start = source.rfind("/*", 0, position)
    return start >= 0 and source.find("*/", start + 2, position) < 0


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


def list_quoted_spans(source: str) -> list[tuple[int, int]]:
    """List where a source has comments, strings and regular expressions, but not templates."""
    matches = _LITERAL.finditer(source)
    return [match.span() for match in matches if source[match.start()] != "`"]


def is_inside(spans: list[tuple[int, int]], position: int) -> bool:
    """Whether a position is in one of these spans, which are in the order of the text."""
    at = bisect_right(spans, (position, len(spans) and spans[-1][1])) - 1
    return at >= 0 and spans[at][0] < position < spans[at][1]
