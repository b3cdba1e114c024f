"""Names of which a part is constant, and the files that fit them.

A program puts a path together: ``File.join(__dir__, "jobs", name)``. The constant part names a
folder, and what fits the rest in it may be needed.
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.root.root import Root

UNKNOWN = "\0"
"""Stands in a pattern for a part that is computed. No path can have it."""

MAX_MATCHED_FILES = 4096
MAX_MATCHED_DEPTH = 8
"""How many files, how deep below the constant folder, fit one pattern."""


class Pattern(NamedTuple):
    """A name with computed parts.

    :ivar text: the name, with :data:`UNKNOWN` for each computed part.
    :ivar is_glob: whether ``*``, ``?``, ``[…]`` and ``{…}`` are wildcards (``Dir.glob``).
    """

    text: str
    is_glob: bool = False

    @property
    def is_constant(self) -> bool:
        """Whether the name stands in full."""
        return UNKNOWN not in self.text and not (self.is_glob and _GLOB.search(self.text))

    @property
    def folder(self) -> str:
        """The folder that the constant part names; "" if there is none."""
        end = re.search(r"[\0*?\[{]" if self.is_glob else r"\0", self.text)
        return self.text[: end.start()].rpartition("/")[0] if end else self.text.rpartition("/")[0]


_GLOB = re.compile(r"[*?\[{]")


_SHARED = re.compile(
    r"(?:/usr(?:/local)?)?/(?:s?bin|lib(?:32|64)?|libexec|share|include|etc|games|src)"
    r"|/(?:usr(?:/local)?|opt|srv|home|var(?:/\w+)?|mnt|media|root)"
)
"""Folders of several packages and applications (hier(7))."""
_SPLIT = frozenset({"usr", "opt", "var", "home", "mnt", "media"})
"""Folders with several applications, each in a folder of its own."""


def is_near(path: str, text: str) -> bool:
    """Whether an absolute path names something near a source: in the same top folder.

    Others are no part of what the source belongs to: ``/usr/bin``, ``/etc``.
    """
    parts = path.split("/")
    depth = 3 if parts[1] in _SPLIT else 2
    top = "/".join(parts[: min(depth, len(parts) - 1)])
    return text.startswith(f"{top}/") and text != path and _SHARED.fullmatch(text) is None


def find_matches(root: Root, pattern: Pattern) -> Iterator[str]:
    """Find the files that fit an absolute pattern with a computed part, below its folder.

    The computed part has at least one letter, and may lead into subfolders.
    """
    if not pattern.folder.strip("/") or _SHARED.fullmatch(pattern.folder):
        return
    fits = _compile(pattern)
    found = 0
    for file in _list_below(root, pattern.folder, MAX_MATCHED_DEPTH):
        if fits.fullmatch(file):
            found += 1
            if found > MAX_MATCHED_FILES:
                return
            yield file


def _list_below(root: Root, folder: str, depth: int) -> Iterator[str]:
    own = root.resolve(folder)
    for name in root.listdir(own.path) if own.exists else ():
        if root.kind(f"{own.path.rstrip('/')}/{name}") is not Kind.DIRECTORY:
            yield f"{folder}/{name}"
        elif depth and not name.startswith("."):
            yield from _list_below(root, f"{folder}/{name}", depth - 1)


@lru_cache(maxsize=256)
def _compile(pattern: Pattern) -> re.Pattern[str]:
    text = posixpath.normpath(pattern.text)
    if not pattern.is_glob:
        return re.compile(".+".join(re.escape(part) for part in re.split("\0+", text)), re.DOTALL)
    tokens = re.split(r"(\0+|\*\*/|\*+|\?|\[[^\]/]+\]|[{},])", text)
    depth = 0
    parts = []
    for part in tokens:
        depth += (part == "{") - (part == "}")
        parts.append(_translate(part, is_in_braces=depth > 0))
    try:
        return re.compile("".join(parts), re.DOTALL)
    except re.error:  # braces that do not match
        return re.compile(re.escape(text))


def _translate(part: str, *, is_in_braces: bool) -> str:
    """Translate one part of a glob to a regular expression."""
    fixed = {"**/": "(?:.*/)?", "?": "[^/]", "{": "(?:", "}": ")"}
    if part in fixed:
        return fixed[part]
    if part == ",":
        return "|" if is_in_braces else ","
    if part[:1] == UNKNOWN:
        return ".+"
    if part[:1] == "*":
        return "[^/]*"
    if part[:1] == "[":
        return part.replace("[!", "[^", 1)
    return re.escape(part)
