"""Where an image goes: the words after ``-o``, in the transports that skopeo and podman know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from slimtrace.builder.images.reference import image_name, ref_name
from slimtrace.builder.images.skopeo import TRANSPORTS, SkopeoDestination
from slimtrace.builder.images.write.archives import Archive, ArchiveFormat
from slimtrace.builder.images.write.oci import OciLayout
from slimtrace.builder.images.write.rootfs import RootfsDestination
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.model import Entry, Image

FORMS = """\
FILE.tar                     an archive that docker, podman, skopeo and containerd load
oci:DIR[:TAG]                an OCI layout
oci-archive:FILE[:TAG]       an OCI layout in a tar
docker-archive:FILE[:NAME]   as docker save wrote before 25.0
rootfs:DIR                   a plain tree
tar:FILE                     a plain root tarball
containers-storage:NAME      podman's store (skopeo)
docker-daemon:NAME:TAG       docker's store (skopeo)
docker://NAME                a registry (skopeo)"""


class Destination(Protocol):
    """Where an image goes. ``str()`` gives the words that name it.

    What is written appears whole or not at all: a failure or a Ctrl-C leaves what was there.
    """

    @property
    def warnings(self) -> tuple[str, ...]:
        """What could not be kept; complete once the image is written."""

    def prepare(self) -> None:
        """Fail early, before the work, where the image could not be written.

        :raises SlimtraceError: it could not.
        """

    def work_folder(self) -> str:
        """A folder for temporary files, on the destination's file system where it has one."""

    def write(self, image: Image, entries: Iterable[Entry]) -> None:
        """Write the image; ``entries`` are those of its layer.

        :raises SlimtraceError: it cannot be written.
        """


def parse_destination(text: str, tag: str | None = None) -> Destination:
    """The destination that ``text`` names.

    As in skopeo, the first colon after the transport ends a path.

    :param tag: a name for the image (``NAME[:TAG]``) where ``text`` gives none: docker's RepoTags
        and the OCI annotation ``org.opencontainers.image.ref.name``.
    :raises UsageError: ``text`` is no destination, or the image is named twice or cannot be named.
    """
    transport, colon, rest = text.partition(":")
    if f"{transport}:" in {known.rstrip("/") for known in TRANSPORTS}:
        return _copied(text, tag)
    # A slash before the colon is a path's, never a transport's: ./a:b.tar
    if text.endswith(".tar") and (not colon or "/" in transport):
        return Archive(ArchiveFormat.HYBRID, text, tag and image_name(tag))
    path, _, reference = rest.partition(":")
    if path and transport in {"rootfs", "tar"}:
        _no_name(text, tag)
        return (
            RootfsDestination(rest) if transport == "rootfs" else Archive(ArchiveFormat.ROOT, rest)
        )
    if path and transport == "docker-archive":
        name = _only_one(text, reference, tag)
        return Archive(ArchiveFormat.DOCKER, path, name and image_name(name))
    if path and transport == "oci":
        return OciLayout(path, _reference(text, reference, tag))
    if path and transport == "oci-archive":
        return Archive(ArchiveFormat.OCI, path, _reference(text, reference, tag))
    raise UsageError(f"cannot write to {text!r}: it is none of the forms of -o", FORMS)


def _copied(text: str, tag: str | None) -> SkopeoDestination:
    for transport in TRANSPORTS:
        name = text.removeprefix(transport)
        if name not in {text, ""}:
            _only_one(text, name, tag)
            return SkopeoDestination(transport, name)
    raise UsageError(f"cannot write to {text!r}: a name is missing", FORMS)


def _reference(text: str, reference: str, tag: str | None) -> str | None:
    if tag and not reference:
        return image_name(tag)
    return ref_name(reference) if _only_one(text, reference, tag) else None


def _only_one(text: str, reference: str, tag: str | None) -> str | None:
    if reference and tag:
        raise UsageError(
            f"cannot tag the image {tag!r}: {text} names it already", "name it in one place"
        )
    return reference or tag


def _no_name(text: str, tag: str | None) -> None:
    if tag:
        raise UsageError(
            f"cannot tag the image {tag!r}: {text} has no place for a name",
            "write an archive, as in -o image.tar",
        )
