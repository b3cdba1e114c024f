"""The constants by which JavaScript names modules."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_STRING = r"""(?:'([^'\\\n]+)'|"([^"\\\n]+)"|`([^`\\$\n]+)`)"""
_GAP = r"(?:\s|/\*.*?\*/)*"

_NAMED = re.compile(
    rf"""(?<![\w$])(?:
        (?P<call>require(?:\s*\.\s*resolve)?) {_GAP}\({_GAP}{_STRING}{_GAP}[,)]
      | import(?:\s*\.\s*meta\s*\.\s*resolve)? {_GAP}\({_GAP}{_STRING}{_GAP}[,)]
      | (?:from|import) {_GAP}{_STRING}
    )""",
    re.VERBOSE | re.DOTALL,
)

_DIRNAME = re.compile(rf"(?<![\w$])__dirname{_GAP}\+{_GAP}{_STRING}{_GAP}\)", re.DOTALL)
"""``require(__dirname + "/x")``, and other calls that end so: they name files all the same."""

_LITERAL = re.compile(
    r"""
      (?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))
    | '(?:[^'\\\n]|\\.)*' | "(?:[^"\\\n]|\\.)*" | `(?:[^`\\]|\\.)*`
    | (?:[=(,:;!&|?{}\[+*%<>~^-]|\b(?:return|typeof|case|in|of|void|do|else)\b)\s*
      /(?![/*])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/
    """,
    re.VERBOSE | re.DOTALL,
)
"""A comment, or what may hold the like of one: a string, a template, a regular expression.

What ends a regular expression's left side cannot be told without a parser: after ``)`` and names
it is taken for a division. A mistake ends with the line, or at the next backtick.
"""


class Specifier(NamedTuple):
    """A module's name, and whether ``require`` asks for it: packages may answer it otherwise."""

    name: str
    is_required: bool


def find_specifiers(source: str) -> Iterator[Specifier]:
    """What a module names by constants outside comments.

    It cannot know names that are put together, ``require`` under another name (a bundler's),
    and what is evaluated. A name inside a string counts: better one too many.
    """
    named = list(_NAMED.finditer(source))
    beside = list(_DIRNAME.finditer(source))
    if not named and not beside:
        return
    comments = [match.span() for match in _LITERAL.finditer(source) if match["comment"]]
    for match in _outside(named, comments):
        name = next(group for group in match.groups()[1:] if group is not None)
        yield Specifier(name, match["call"] is not None)
    for match in _outside(beside, comments):
        name = next(group for group in match.groups() if group is not None)
        yield Specifier(f"./{name.lstrip('/')}", is_required=True)


def _outside(
    found: list[re.Match[str]], comments: list[tuple[int, int]]
) -> Iterator[re.Match[str]]:
    """The matches that begin in none of the spans; both are in the text's order."""
    spans = iter([*comments, (1 << 62, 1 << 62)])
    start, end = next(spans)
    for match in found:
        while end <= match.start():
            start, end = next(spans)
        if match.start() < start:
            yield match
