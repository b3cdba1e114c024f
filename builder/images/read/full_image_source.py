"""Opens the full image of ``--image``: finds, verifies, unpacks and caches it."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from slimtrace.builder.images.read import image_cache
from slimtrace.builder.images.read.blobs import (
    ArchiveBlobs,
    FolderBlobs,
    open_plain_archive,
    open_regular,
)
from slimtrace.builder.images.read.cache_limit import enforce_limit
from slimtrace.builder.images.read.image_search import find_reference
from slimtrace.builder.images.read.manifest import (
    lists_images,
    read_docker_image,
    read_layout_image,
)
from slimtrace.builder.images.read.skopeo_copy import fetch_image
from slimtrace.builder.images.reference import Syntax, Transport, parse_reference
from slimtrace.builder.images.unpack.decompress import ExpectedDigest, HashingReader, open_layer
from slimtrace.builder.images.unpack.layers import Unpacker
from slimtrace.builder.images.unpack.limits import read_limits
from slimtrace.builder.images.unpack.tar_reader import TarReader
from slimtrace.builder.os_errors import convert_read_errors
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from slimtrace.builder.images.read.blobs import Blobs
    from slimtrace.builder.images.read.manifest import SourceImage
    from slimtrace.builder.images.reference import ImageReference
    from slimtrace.builder.root.layer_index import LayerIndex


@dataclass(frozen=True, slots=True)
class FullImage:
    """An image to run an app in and to build from. Nobody may change its tree.

    :ivar source: its reference, with an absolute path.
    :ivar digest: of the manifest; of a docker archive, which has none, of the configuration; of a
        tarball, of the file; None of a plain tree.
    :ivar root: the directory with the tree.
    :ivar index: the metadata in the layers, since the tree may lack owners, attributes and devices;
        None of a plain tree.
    :ivar config: the whole configuration (config.md), empty where there is none.
    """

    source: str
    digest: str | None
    root: str
    index: LayerIndex | None
    config: Mapping[str, Any]

    @property
    def run_config(self) -> Mapping[str, Any]:
        """What the configuration says of containers (config.md, "config"); empty where damaged."""
        found = self.config.get("config")
        return found if isinstance(found, dict) else {}


def open_image(text: str, platform: str | None = None, *, digest: str | None = None) -> FullImage:
    """Open the image at a reference, unpacked. It is not removed while this process runs.

    :param text: with or without a transport, as :func:`find_reference` takes it.
    :param platform: ``OS/ARCHITECTURE[/VARIANT]`` to choose from an image for several; None for
        this machine's.
    :param digest: of the image that the caller needs; None if it is not known. The cache is
        searched for it first, then the image at ``text``.
    :raises UsageError: ``text`` is not a reference, or there are several images.
    :raises SlimtraceError: the image is missing, damaged, too large, or cannot be unpacked.
    """
    reference = find_reference(text)
    text = str(reference.absolute())
    kept = image_cache.find_image(digest, text) if digest is not None else None
    if kept is not None:
        return FullImage(text, kept.digest, kept.root, kept.index(), kept.config)
    match reference.transport:
        case Transport.ROOTFS:
            if not os.path.isdir(reference.location):
                raise SlimtraceError(
                    f"cannot read {text}: it is not a directory", "name a tree, as in rootfs:DIR"
                )
            return FullImage(text, None, os.path.realpath(reference.location), None, {})
        case Transport.TARBALL:
            kept = image_cache.get_file_image(
                reference.location, text, lambda place: _unpack_tarball(reference, place)
            )
        case Transport.DOCKER_DAEMON:
            from slimtrace.builder.images.read.docker_fetch import fetch_docker_image  # noqa: PLC0415 -- ssl takes its time

            kept = fetch_docker_image(reference, platform, _unpack)
        case Transport.CONTAINERS_STORAGE | Transport.REGISTRY:
            kept = fetch_image(reference, platform, digest, _unpack)
        case _:
            with _open_blobs(reference) as blobs:
                found = _read_manifest(reference, blobs, platform, digest)
                kept = image_cache.get_image(
                    found.digest, text, lambda place: _unpack(text, found, blobs, place)
                )
    if image_cache.was_unpacked_here(kept.digest):
        enforce_limit()
    return FullImage(text, kept.digest, kept.root, kept.index(), kept.config)


def stored_size(text: str) -> int | None:
    """Bytes of an image's layers as stored, compressed or not; None if the format does not say.

    :param text: the source of an opened image.

    :raises SlimtraceError: as :func:`open_image`.
    """
    reference = parse_reference(text)
    if reference.transport.syntax in {Syntax.PATH, Syntax.NAME}:
        return None
    with _open_blobs(reference) as blobs:
        sizes = [
            layer.expected.size for layer in _read_manifest(reference, blobs, None, None).layers
        ]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _read_manifest(
    reference: ImageReference, blobs: Blobs, platform: str | None, digest: str | None
) -> SourceImage:
    label = reference.location
    match reference.transport:
        case Transport.OCI | Transport.OCI_ARCHIVE:
            _check_layout(reference, blobs)
            is_layout = True
        case Transport.DOCKER_ARCHIVE:
            is_layout = not blobs.has("manifest.json") and blobs.has("index.json")
        case _:
            # docker save IMAGE@DIGEST of Docker 25 writes an index of nothing (moby 47210).
            is_layout = blobs.has("index.json") and (
                not blobs.has("manifest.json") or lists_images(blobs, label)
            )
    if is_layout:
        return read_layout_image(blobs, label, reference.name, platform, digest)
    return read_docker_image(blobs, label, reference.name, platform)


def _check_layout(reference: ImageReference, blobs: Blobs) -> None:
    """:raises SlimtraceError: it has no index, or one that lists nothing beside docker's list."""
    label = reference.location
    is_docker = reference.transport is Transport.OCI_ARCHIVE and blobs.has("manifest.json")
    hint = f"read it as docker-archive:{label}" if is_docker else None
    if not blobs.has("index.json"):
        raise SlimtraceError(
            f"cannot read {label}: it is not an OCI layout: it has no index.json", hint
        )
    if is_docker and not lists_images(blobs, label):
        raise SlimtraceError(f"cannot read {label}: its index.json lists no image", hint)


def _unpack(text: str, found: SourceImage, blobs: Blobs, place: str) -> image_cache.UnpackedTree:
    say(f"unpacking {text}")
    left = read_limits()
    unpacker = Unpacker(place, left)
    try:
        for layer in found.layers:
            with (
                blobs.open(layer.name) as blob,
                open_layer(blob, layer.label, layer.expected, left) as stream,
            ):
                unpacker.layer(TarReader(stream, layer.label), layer.label)
        return image_cache.UnpackedTree(found.digest, unpacker.finish(), found.config)
    finally:
        unpacker.close()


def _unpack_tarball(reference: ImageReference, place: str) -> image_cache.UnpackedTree:
    say(f"unpacking {reference}")
    left = read_limits()
    unpacker = Unpacker(place, left)
    try:
        with _open(reference.location) as file:
            whole = HashingReader(file)
            with open_layer(whole, reference.location, ExpectedDigest(), left) as stream:
                unpacker.layer(TarReader(stream, reference.location), reference.location)
            return image_cache.UnpackedTree(whole.digest(), unpacker.finish(), {})
    finally:
        unpacker.close()


@contextmanager
def _open_blobs(reference: ImageReference) -> Generator[Blobs]:
    path = reference.location
    if reference.transport is Transport.OCI:
        if not os.path.isdir(path):
            raise SlimtraceError(f"cannot read {reference}: {path} is not a directory")
        yield FolderBlobs(path, path)
        return
    with _open(path) as file, open_plain_archive(file, path) as plain:
        yield ArchiveBlobs(plain, path)


def _open(path: str) -> BinaryIO:
    with convert_read_errors(path):
        return open_regular(path)
