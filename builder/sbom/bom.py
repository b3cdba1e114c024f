"""The contents of an SBOM, for all formats."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.builder.packages.package import Package


class SbomFormat(StrEnum):
    """An SBOM format, by the name in ``--format``."""

    SPDX = "spdx"
    CYCLONEDX = "cyclonedx"

    @property
    def media_type(self) -> str:
        """The document's media type (IANA), and the artifact type in a registry."""
        return _MEDIA_TYPES[self]

    @property
    def suffix(self) -> str:
        """The suffix of a file name, by which tools recognise the format."""
        return _SUFFIXES[self]


_MEDIA_TYPES = {
    SbomFormat.SPDX: "application/spdx+json",
    SbomFormat.CYCLONEDX: "application/vnd.cyclonedx+json",
}
_SUFFIXES = {SbomFormat.SPDX: ".spdx.json", SbomFormat.CYCLONEDX: ".cdx.json"}


@dataclass(frozen=True, slots=True, order=True)
class KeptFile:
    """A regular file in the image; its checksums are in hexadecimal.

    :ivar path: absolute, as :func:`escape_path` returns it.
    """

    path: str
    sha256: str
    sha1: str


@dataclass(frozen=True, slots=True)
class Component:
    """A package with at least one file in the image.

    :ivar purl: its package URL.
    :ivar files: its files in the image, by path.
    :ivar left_out: the paths that only the full image has; None if there is no full image.
    """

    package: Package
    purl: str
    files: tuple[KeptFile, ...]
    left_out: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Distribution:
    """The fields of os-release(5); empty if missing."""

    id: str
    version: str
    name: str


@dataclass(frozen=True, slots=True)
class Subject:
    """The image that the SBOM describes.

    :ivar name: the last component of its name, or a default.
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
    """The whole contents.

    :ivar components: by purl.
    :ivar files: the files of no package, by path.
    """

    subject: Subject
    distribution: Distribution | None
    components: tuple[Component, ...]
    files: tuple[KeptFile, ...]


def escape_path(path: str) -> str:
    """The path for JSON, with bytes that are not UTF-8 escaped, so that paths stay distinct."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
