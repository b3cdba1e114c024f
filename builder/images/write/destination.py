"""Destinations: what an image reference after ``-o`` is written to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from slimtrace.builder.images.reference import Transport, image_name, parse_reference
from slimtrace.builder.images.write.archives import Archive, ArchiveFormat
from slimtrace.builder.images.write.oci import OciLayout
from slimtrace.builder.images.write.rootfs import RootfsDestination
from slimtrace.builder.images.write.skopeo_destination import SkopeoDestination

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.model import Entry, Image
    from slimtrace.tracer.caution import Caution


class Destination(Protocol):
    """Writes an image. ``str()`` gives its image reference.

    An image is written whole or not at all: a failure or Ctrl-C leaves what was there before.
    """

    @property
    def warnings(self) -> tuple[Caution, ...]:
        """What could not be preserved; complete after the image is written."""

    def prepare(self) -> None:
        """Fail early, before the build, if the image cannot be written.

        :raises SlimtraceError: it cannot.
        """

    def work_folder(self) -> str:
        """A folder for temporary files, on the destination's file system where it has one."""

    def write(self, image: Image, entries: Iterable[Entry]) -> None:
        """Write the image; ``entries`` are the entries of its layer.

        :raises SlimtraceError: it cannot be written.
        """


def parse_destination(text: str, tag: str | None = None) -> Destination:
    """Parse the image reference after ``-o``, and make its destination.

    :param tag: of ``--tag``, as :meth:`ImageReference.with_tag` takes it.
    :raises UsageError: ``text`` is not an image reference, or the image is named twice or cannot
        be named.
    """
    return make_destination(parse_reference(text, "write to").with_tag(tag))


def make_destination(reference: ImageReference) -> Destination:
    """Make the destination that writes an image to ``reference``."""
    path, name = reference.location, reference.name
    destination: Destination
    match reference.transport:
        case Transport.ARCHIVE:
            destination = Archive(ArchiveFormat.HYBRID, path, name)
        case Transport.OCI:
            destination = OciLayout(path, name)
        case Transport.OCI_ARCHIVE:
            destination = Archive(ArchiveFormat.OCI, path, name)
        case Transport.DOCKER_ARCHIVE:
            destination = Archive(ArchiveFormat.DOCKER, path, name and image_name(name))
        case Transport.ROOTFS:
            destination = RootfsDestination(path)
        case Transport.TARBALL:
            destination = Archive(ArchiveFormat.ROOT, path)
        case Transport.CONTAINERS_STORAGE | Transport.DOCKER_DAEMON | Transport.REGISTRY:
            destination = SkopeoDestination(reference)
    return destination
