"""The full image behind ``--image``: found, verified, unpacked, kept for the next time."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from slimtrace.builder.images.read import image_cache
from slimtrace.builder.images.read.blobs import (
    ArchiveBlobs,
    FolderBlobs,
    open_regular,
    plain_archive,
)
from slimtrace.builder.images.read.manifest import in_docker_archive, in_layout
from slimtrace.builder.images.read.skopeo_copy import copied
from slimtrace.builder.images.reference import parse_source
from slimtrace.builder.images.unpack.decompress import ExpectedDigest, HashingReader, layer_stream
from slimtrace.builder.images.unpack.layers import Unpacker
from slimtrace.builder.images.unpack.limits import budget
from slimtrace.builder.images.unpack.tar_reader import TarReader
from slimtrace.builder.os_errors import reading
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from slimtrace.builder.images.read.blobs import Blobs
    from slimtrace.builder.images.read.manifest import SourceImage
    from slimtrace.builder.images.reference import ImageSource
    from slimtrace.builder.root.layer_index import LayerIndex


@dataclass(frozen=True, slots=True)
class FullImage:
    """An image to run an app in and to build from. Its tree must not be changed.

    :ivar source: as the user named it, but with whole paths: it is found from anywhere.
    :ivar digest: of the manifest; of a docker archive, which has none, of the configuration; of a
        tarball, of the file; None of a plain tree.
    :ivar root: a directory with the tree.
    :ivar index: what the layers say of each path, of which the tree may lack owners, attributes
        and devices; None of a plain tree.
    :ivar config: the configuration's whole document (config.md), empty where there is none.
    """

    source: str
    digest: str | None
    root: str
    index: LayerIndex | None
    config: Mapping[str, Any]


def open_image(text: str, platform: str | None = None, *, digest: str | None = None) -> FullImage:
    """The image that ``text`` names, unpacked; this process keeps it from being removed.

    :param platform: ``OS/ARCHITECTURE[/VARIANT]`` where an image is of several, instead of this
        machine's.
    :param digest: of the image that is meant, where it is known: what is kept by it is taken, and
        ``text`` is asked only where the cache has none, and then for that one first.
    :raises UsageError: ``text`` names no image, or could mean several.
    :raises SlimtraceError: it is not there, damaged, too large, or cannot be unpacked.
    """
    source = parse_source(text)
    text = source.anywhere()
    kept = image_cache.find(digest, text) if digest is not None else None
    if kept is not None:
        return FullImage(text, kept.digest, kept.root, kept.index(), kept.config)
    match source.transport:
        case "rootfs":
            if not os.path.isdir(source.path):
                raise SlimtraceError(f"cannot read {text}: it is not a directory")
            return FullImage(text, None, os.path.realpath(source.path), None, {})
        case "tar":
            kept = image_cache.keep_file(
                source.path, text, lambda place: _unpack_tarball(source, place)
            )
        case "skopeo":
            kept = copied(text, platform, digest, _unpack)
        case _:
            with _blobs(source) as blobs:
                found = _found(source, blobs, platform, digest)
                kept = image_cache.keep(
                    found.digest, text, lambda place: _unpack(text, found, blobs, place)
                )
    return FullImage(text, kept.digest, kept.root, kept.index(), kept.config)


def stored_size(text: str) -> int | None:
    """Bytes of an image's layers as they are stored; None in a form that does not say.

    :raises SlimtraceError: as :func:`open_image`.
    """
    source = parse_source(text)
    if source.transport in {"rootfs", "tar", "skopeo"}:
        return None
    with _blobs(source) as blobs:
        sizes = [layer.expected.size for layer in _found(source, blobs, None, None).layers]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _found(
    source: ImageSource, blobs: Blobs, platform: str | None, digest: str | None
) -> SourceImage:
    label = source.path
    if source.transport == "docker-archive" or not blobs.has("index.json"):
        if source.transport in {"oci", "oci-archive"}:
            raise SlimtraceError(f"cannot read {label}: it is no OCI layout: it has no index.json")
        return in_docker_archive(blobs, label, source.reference, platform)
    return in_layout(blobs, label, source.reference, platform, digest)


def _unpack(text: str, found: SourceImage, blobs: Blobs, place: str) -> image_cache.UnpackedTree:
    say(f"unpacking {text}")
    left = budget()
    unpacker = Unpacker(place, left)
    try:
        for layer in found.layers:
            with (
                blobs.open(layer.name) as blob,
                layer_stream(blob, layer.label, layer.expected, left) as stream,
            ):
                unpacker.layer(TarReader(stream, layer.label), layer.label)
        return image_cache.UnpackedTree(found.digest, unpacker.finish(), found.config)
    finally:
        unpacker.close()


def _unpack_tarball(source: ImageSource, place: str) -> image_cache.UnpackedTree:
    say(f"unpacking {source}")
    left = budget()
    unpacker = Unpacker(place, left)
    try:
        with _open(source.path) as file:
            whole = HashingReader(file)
            with layer_stream(whole, source.path, ExpectedDigest(), left) as stream:
                unpacker.layer(TarReader(stream, source.path), source.path)
            return image_cache.UnpackedTree(whole.digest(), unpacker.finish(), {})
    finally:
        unpacker.close()


@contextmanager
def _blobs(source: ImageSource) -> Generator[Blobs]:
    if source.transport == "oci":
        if not os.path.isdir(source.path):
            raise SlimtraceError(f"cannot read {source}: {source.path} is not a directory")
        yield FolderBlobs(source.path, source.path)
        return
    with _open(source.path) as file, plain_archive(file, source.path) as plain:
        yield ArchiveBlobs(plain, source.path)


def _open(path: str) -> BinaryIO:
    with reading(path):
        return open_regular(path)
