"""A file of the image that the full image does not hold as such."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.builder.root.root import Root


@dataclass(frozen=True, slots=True)
class GeneratedFile:
    """A part of a package database.

    :ivar path: as it is looked up in the image.
    :ivar mtime_ns: the database's own in the full image, so that the digest is the same whenever
        the image is built.
    """

    path: str
    content: bytes
    mtime_ns: int


def read_mtime(root: Root, path: str) -> int:
    """When what is looked up as ``path`` was last written, in nanoseconds; 0 for nothing."""
    fingerprint = root.fingerprint(root.resolve(path).path)
    return 0 if fingerprint is None else fingerprint.mtime_ns
