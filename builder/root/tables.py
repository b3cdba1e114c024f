"""Reads small text tables of the full image; one that cannot be read is empty."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from slimtrace.builder.root.root import Root

MAX_TABLE_BYTES = 1 << 20
"""More than any table has that people write."""


def read_text(root: Root, path: str, most: int = MAX_TABLE_BYTES) -> str:
    """Read up to ``most`` bytes of the regular file at ``path``, through symlinks; "" for none."""
    try:
        return root.text(path, most)
    except SlimtraceError:
        return ""


def split_lines(text: str) -> list[list[str]]:
    """The fields of each line that is not empty, without comments (``#`` to the line's end)."""
    lines = (line.partition("#")[0].split() for line in text.splitlines())
    return [line for line in lines if line]
