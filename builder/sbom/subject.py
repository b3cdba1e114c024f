"""Which image an SBOM is of: its name, digest and time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from slimtrace.builder.images.skopeo import TRANSPORTS
from slimtrace.builder.sbom.bom import Subject
from slimtrace.builder.sbom.purl import image_purl

if TYPE_CHECKING:
    from collections.abc import Mapping

NAMELESS = "image"
"""What an image is called that has no name."""
_HAVE_A_PLACE = ("docker-archive:", "oci-archive:", "oci:")


class SubjectName(NamedTuple):
    """What an image is called: ``example.org/team/app`` (or ""), and ``1.0`` (or "")."""

    repository: str
    tag: str

    @property
    def name(self) -> str:
        return self.repository.rpartition("/")[2] or NAMELESS


def named(text: str, tag: str | None = None) -> SubjectName:
    """What the words that say where an image lies call it. A path on this machine is no name.

    :param tag: of ``--tag``.
    """
    if tag:
        return _split(tag)
    for transport in TRANSPORTS:
        if text.startswith(transport):
            return _split(text.removeprefix(transport))
    for transport in _HAVE_A_PLACE:
        if text.startswith(transport):
            reference = text.removeprefix(transport).partition(":")[2]
            is_tag = transport != "docker-archive:" and ":" not in reference
            return SubjectName("", reference) if is_tag else _split(reference)
    return SubjectName("", "")


def subject(
    called: SubjectName, digest: str | None, config: Mapping[str, Any], newest_ns: int
) -> Subject:
    """The image as SBOMs tell of it.

    :param digest: of its manifest.
    :param config: the whole configuration, empty where there is none.
    :param newest_ns: when its newest file was written, which counts where ``config`` says nothing.
    """
    architecture = str(config.get("architecture") or "")
    purl = None
    if digest is not None:
        purl = image_purl(called.name, digest, architecture, called.repository, called.tag)
    return Subject(called.name, digest, purl, _created(config.get("created"), newest_ns))


def _split(name: str) -> SubjectName:
    repository, _, _ = name.partition("@")
    above, slash, last = repository.rpartition("/")
    last, _, tag = last.partition(":")
    return SubjectName(f"{above}{slash}{last}", tag)


def _created(said: object, newest_ns: int) -> str:
    try:
        moment = datetime.fromisoformat(str(said)).astimezone(UTC)
    except (ValueError, OverflowError):
        moment = datetime.fromtimestamp(max(0, newest_ns) // 10**9, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
