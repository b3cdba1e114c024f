"""Reads the tokens of code one after the other, for those who evaluate its expressions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator

_AFTER_DOT = frozenset({".", "&."})


class CodeToken(NamedTuple):
    """A part of the code; ``end`` after its last part, or where too much was read.

    :ivar start: where it begins in the code.
    :ivar is_first: whether it begins a line, and does not go on with the one before; only where the
        pattern has a group ``space``.
    """

    kind: str
    text: str
    start: int
    is_first: bool = False


class TokenReader:
    """The tokens from a place in the code on.

    :param pattern: matches a token, with a named group for each kind.
    :param most: how many tokens are read.
    """

    def __init__(self, pattern: re.Pattern[str], code: str, start: int, most: int) -> None:
        self._tokens = _list_tokens(pattern, code, start, most)
        self._token = next(self._tokens)

    @property
    def end(self) -> int:
        """Where the code begins that was not read."""
        return self._token.start

    def _next(self) -> CodeToken:
        token = self._token
        self._token = next(self._tokens)
        return token

    def _skip(self, text: str) -> None:
        if self._token.text == text:
            self._next()


def _list_tokens(pattern: re.Pattern[str], code: str, start: int, most: int) -> Iterator[CodeToken]:
    has_space = "space" in pattern.groupindex
    for _ in range(most):
        match = pattern.match(code, start)
        if match is None or match.lastgroup is None:
            break
        start, text = match.end(), match[match.lastgroup]
        is_first = has_space and "\n" in match["space"] and text not in _AFTER_DOT
        yield CodeToken(match.lastgroup, text, match.start(match.lastgroup), is_first)
    while True:
        yield CodeToken("end", "", start, is_first=True)
