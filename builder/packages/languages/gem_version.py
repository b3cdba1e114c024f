"""Reads specifications of gems, and compares versions as RubyGems does (Gem::Version)."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

VersionKey = list[tuple[int, int, str]]

_TEXT = r"(?:%q<([^>]+)>|['\"]([^'\"]+)['\"])"
_DEPENDENCY = re.compile(
    rf"add_(?P<kind>runtime_|development_)?dependency[ \t(]+{_TEXT}(?P<limits>[^\n;]*)"
)
_FILES = re.compile(r"\.files\s*=\s*\[(?P<names>[^\]]*)\]")
_LIMIT = re.compile(r"['\"]\s*(~>|>=|<=|!=|=|<|>)?\s*([0-9][\w.]*)\s*['\"]")


def parse_dependencies(text: str) -> tuple[str, ...]:
    """Parse the runtime dependencies: each a name and its limits, on lines of their own.

    RubyGems writes each twice: for old versions, which know no kinds, with those for development.
    """
    found = [*_DEPENDENCY.finditer(text)]
    exact = [match for match in found if match["kind"] == "runtime_"]
    plain = [match for match in found if match["kind"] is None]
    return tuple(dict.fromkeys(_describe(match) for match in (exact or plain)))


def _describe(match: re.Match[str]) -> str:
    name = match[2] or match[3]
    limits = (f"{sign or '='} {version}" for sign, version in _LIMIT.findall(match["limits"]))
    return "\n".join([name, *limits])


def parse_files(text: str) -> Iterator[str]:
    """Parse the files that a specification lists; few do after installation."""
    if match := _FILES.search(text):
        yield from re.findall(r"['\"]([^'\"]+)['\"]", match["names"])


def make_version_key(version: str) -> VersionKey:
    """The sort key of a version, without its platform. Letters come before numbers."""
    parts = re.findall(r"\d+|[A-Za-z]+", version.partition("-")[0])
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in parts]


def is_allowed(version: str, limits: Iterable[str]) -> bool:
    """Whether a version is within limits as ``~> 2.1`` and ``>= 2.1.4``."""
    return all(_is_within(version, *limit.split(" ")) for limit in limits)


def _is_within(version: str, sign: str, limit: str) -> bool:
    own, other = make_version_key(version), make_version_key(limit)
    zero = (1, 0, "")
    length = max(len(own), len(other))
    least, padded = [[*key, *[zero] * (length - len(key))] for key in (other, own)]
    if sign == "~>":
        fixed = max(len(other) - 1, 1)
        return padded >= least and padded[:fixed] == least[:fixed]
    return _COMPARE[sign](padded, least)


_COMPARE: dict[str, Callable[[VersionKey, VersionKey], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "<": operator.lt,
    ">": operator.gt,
    "!=": operator.ne,
    "=": operator.eq,
}
