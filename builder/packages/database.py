"""Reads a package database: one that is not there is empty, one that cannot be read an error."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.builder.images.root import Root

_MOST = 1 << 28
"""Bytes: no system has as many packages."""


def read_database(root: Root, path: str) -> str:
    """The text of the regular file that is looked up as ``path``, or "".

    :raises SlimtraceError: it is there and cannot be read.
    """
    return root.text(path, _MOST)
