"""Destinations: what an image reference after ``-o`` is written to."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Protocol

from slimtrace.builder.images.reference import (
    ImageReference,
    Transport,
    find_transport,
    guess_reference,
    has_registry,
    image_name,
    looks_like_path,
    make_hint,
    parse_reference,
)
from slimtrace.builder.images.write.archives import Archive, ArchiveFormat
from slimtrace.builder.images.write.docker_destination import DockerDestination
from slimtrace.builder.images.write.oci import OciLayout
from slimtrace.builder.images.write.rootfs import RootfsDestination
from slimtrace.builder.images.write.skopeo_destination import SkopeoDestination
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

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


def parse_destination(text: str, tag: str | None = None, source: str | None = None) -> Destination:
    """Parse the value of ``-o``, and make its destination.

    :param tag: of ``--tag``, as :meth:`ImageReference.with_tag` takes it.
    :param source: as for :func:`find_destination`.
    :raises UsageError: ``text`` is not an image reference, or the image is named twice or cannot
        be named.
    """
    return make_destination(find_destination(text, source).with_tag(tag))


def find_destination(text: str, source: str | None) -> ImageReference:
    """Parse the value of ``-o``. ``NAME[:TAG]`` alone goes to the store of the full image.

    :param source: the full image's reference; None where it is not known, or is no image.
    :raises UsageError: it is not an image reference, or it could be meant as a path.
    """
    failure = f"cannot write to {text!r}"
    transport = find_transport(text)
    if transport is Transport.ARCHIVE and not text.endswith(".tar"):
        raise UsageError(f"{failure}: it is not an image reference", _path_hint(text))
    if transport is not None:
        return parse_reference(text, "write to")
    if guess_reference(text) is not None:
        raise UsageError(f"{failure}: it is not an image reference", make_hint(text))
    if looks_like_path(text) or os.path.lexists(text.partition("/")[0]):
        raise UsageError(f"{failure}: it is not an image reference", _path_hint(text))
    try:
        name = image_name(text)
    except UsageError:
        raise UsageError(f"{failure}: it is not an image reference", make_hint(text)) from None
    return _choose_store(name, source)


def _path_hint(text: str) -> str:
    path = text.rstrip("/")
    stem = path if not os.path.splitext(path)[1] else path[: path.index(".", path.rfind("/") + 2)]
    return f"did you mean {stem}.tar, oci:{path} or rootfs:{path}?"


def _choose_store(name: str, source: str | None) -> ImageReference:
    """Podman's store or Docker's: that of the full image, else the one that is here.

    Nothing goes to a registry but a name that has the full image's registry in it.
    """
    origin = None if source is None else parse_reference(source)
    chosen = None if origin is None else origin.transport
    if chosen is Transport.REGISTRY and origin is not None and has_registry(name):
        host = name.partition("/")[0]
        if (origin.name or "").partition("/")[0] == host:
            return ImageReference(Transport.REGISTRY, "", name)
    if chosen not in {Transport.CONTAINERS_STORAGE, Transport.DOCKER_DAEMON}:
        if shutil.which("podman") is not None:
            chosen = Transport.CONTAINERS_STORAGE
        elif shutil.which("docker") is not None:
            chosen = Transport.DOCKER_DAEMON
        else:
            raise UsageError(
                f"cannot write to {name!r}: neither podman nor docker is here", make_hint(name)
            )
    if chosen is Transport.CONTAINERS_STORAGE and not has_registry(name):
        name = f"localhost/{name}"  # as podman build -t does
    return ImageReference(chosen, "", name)


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
        case Transport.DOCKER_DAEMON:
            destination = DockerDestination(image_name(name or ""))
        case Transport.CONTAINERS_STORAGE | Transport.REGISTRY:
            destination = SkopeoDestination(reference)
    return destination
