"""A file of the image that the build generates."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.builder.root.root import Root


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """A part of a package database.

    :ivar path: in the image, with links in it.
    :ivar mtime_ns: that of the database in the full image, so that each build has the same digest.
    """

    path: str
    content: bytes
    mtime_ns: int


def read_mtime(root: Root, path: str) -> int:
    """The mtime in nanoseconds of the file that ``path`` leads to; 0 if there is none."""
    fingerprint = root.fingerprint(root.resolve(path).path)
    return 0 if fingerprint is None else fingerprint.mtime_ns
