"""The image that an SBOM describes: its name, digest and time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from slimtrace.builder.images.reference import Syntax, split_name
from slimtrace.builder.sbom.bom import Subject
from slimtrace.builder.sbom.purl import make_image_purl

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.images.reference import ImageReference

NAMELESS = "image"
"""The name of an image without a name."""


class SubjectName(NamedTuple):
    """An image's name (``example.org/team/app``) and tag (``1.0``); both may be empty."""

    repository: str
    tag: str

    @property
    def name(self) -> str:
        return self.repository.rpartition("/")[2] or NAMELESS


def find_subject_name(reference: ImageReference | None, tag: str | None = None) -> SubjectName:
    """Find the image's name in its reference. A path on this machine is not a name.

    :param reference: None for an image that is not written.
    :param tag: the value of ``--tag``.
    """
    if tag:
        return _parse_name(tag)
    if reference is None or reference.name is None:
        return SubjectName("", "")
    if reference.transport.syntax is Syntax.PATH_AND_TAG and ":" not in reference.name:
        return SubjectName("", reference.name)
    return _parse_name(reference.name)


def make_subject(
    subject_name: SubjectName, digest: str | None, config: Mapping[str, Any], newest_ns: int
) -> Subject:
    """Describe an image.

    :param digest: of its manifest.
    :param config: the whole image config; empty if there is none.
    :param newest_ns: the mtime of its newest file, used if ``config`` has no time of creation.
    """
    architecture = str(config.get("architecture") or "")
    purl = None
    if digest is not None:
        purl = make_image_purl(
            subject_name.name, digest, architecture, subject_name.repository, subject_name.tag
        )
    return Subject(
        subject_name.name, digest, purl, _parse_created(config.get("created"), newest_ns)
    )


def _parse_name(name: str) -> SubjectName:
    parts = split_name(name)
    return SubjectName(parts.repository, parts.tag)


def _parse_created(created: object, newest_ns: int) -> str:
    try:
        moment = datetime.fromisoformat(str(created)).astimezone(UTC)
    except (ValueError, OverflowError):
        moment = datetime.fromtimestamp(max(0, newest_ns) // 10**9, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
