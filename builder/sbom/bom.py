"""What an SBOM tells of an image, in whichever format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.builder.packages.package import Package


class SbomFormat(StrEnum):
    """A format of SBOMs, as users name it."""

    SPDX = "spdx"
    CYCLONEDX = "cyclonedx"

    @property
    def media_type(self) -> str:
        """Of the document, and the artifact's type in a registry (IANA, media types)."""
        return _MEDIA_TYPES[self]

    @property
    def ending(self) -> str:
        """Of a file's name, by which tools know the format."""
        return _SUFFIXES[self]


_MEDIA_TYPES = {
    SbomFormat.SPDX: "application/spdx+json",
    SbomFormat.CYCLONEDX: "application/vnd.cyclonedx+json",
}
_SUFFIXES = {SbomFormat.SPDX: ".spdx.json", SbomFormat.CYCLONEDX: ".cdx.json"}


@dataclass(frozen=True, slots=True, order=True)
class KeptFile:
    """A regular file in the image; sums are of its bytes, in hexadecimal.

    :ivar path: absolute, as :func:`escape_path`.
    """

    path: str
    sha256: str
    sha1: str


@dataclass(frozen=True, slots=True)
class Component:
    """A package that something in the image is of.

    :ivar purl: its package URL.
    :ivar files: those in the image, by path.
    :ivar left_out: paths that it has in the full image and not in this one; None where no full
        image tells.
    """

    package: Package
    purl: str
    files: tuple[KeptFile, ...]
    left_out: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Distribution:
    """What os-release(5) says; "" for what it does not."""

    id: str
    version: str
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The image that is described.

    :ivar name: the last word of its name, or a word in its place.
    :ivar digest: ``sha256:…`` of its manifest; None where it has none, or not yet.
    :ivar purl: its package URL; None without a digest.
    :ivar created: RFC 3339 in whole seconds, UTC.
    """

    name: str
    digest: str | None
    purl: str | None
    created: str


@dataclass(frozen=True, slots=True)
class BillOfMaterials:
    """All that is told.

    :ivar components: by purl.
    :ivar files: those of no package, by path.
    """

    subject: Subject
    distribution: Distribution | None
    components: tuple[Component, ...]
    files: tuple[KeptFile, ...]


def escape_path(path: str) -> str:
    """The path as JSON can hold it: bytes that are not UTF-8 escaped by a backslash and ``xff``.

    So that paths which differ stay different.
    """
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
