"""The formats of SBOMs."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
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
        return _ENDINGS[self]


_MEDIA_TYPES = {
    Format.SPDX: "application/spdx+json",
    Format.CYCLONEDX: "application/vnd.cyclonedx+json",
}
_ENDINGS = {Format.SPDX: ".spdx.json", Format.CYCLONEDX: ".cdx.json"}
