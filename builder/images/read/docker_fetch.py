"""Fetches images from Docker's daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimtrace.builder.images.docker_client import DockerClient
from slimtrace.builder.images.read import image_cache
from slimtrace.builder.images.read.blobs import ArchiveBlobs
from slimtrace.builder.images.read.manifest import (
    check_platform,
    read_docker_image,
    read_layout_image,
)
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.builder.images.read.blobs import Blobs
    from slimtrace.builder.images.read.manifest import SourceImage
    from slimtrace.builder.images.reference import ImageReference


def fetch_docker_image(
    reference: ImageReference,
    platform: str | None,
    unpack: Callable[[str, SourceImage, Blobs, str], image_cache.UnpackedTree],
) -> image_cache.CachedImage:
    """Open an image in Docker's store; have the daemon save it only if the cache lacks it.

    Its digest is the ID that Docker gives it: that of the configuration or, where Docker keeps
    images in containerd's store, of the manifest.

    :param unpack: unpacks an image (arguments: its name, the image, its blobs, the directory).
    :raises SlimtraceError: the daemon does not answer or has no such image, or it is damaged.
    """
    text, name = str(reference), reference.name or ""
    failure = f"cannot read {text}"
    client = DockerClient(failure)
    image_id = client.find_id(name)
    if image_id is None:
        raise SlimtraceError(
            f"{failure}: Docker at {client.endpoint} has no such image", "list them: docker images"
        )
    cached = image_cache.find_image(image_id, text)
    if cached is not None:
        check_platform(cached.config, text, platform)
        return cached
    say(f"fetching {text}")
    with image_cache.scratch_folder() as folder:
        path = os.path.join(folder, "image.tar")
        with open(path, "xb") as file:
            client.save(name, file)
        with open(path, "rb", buffering=0) as saved:
            blobs = ArchiveBlobs(saved, text)
            image = _read_saved(blobs, text, platform, image_id)
            return image_cache.get_image(
                image.digest, text, lambda place: unpack(text, image, blobs, place)
            )


def _read_saved(blobs: Blobs, label: str, platform: str | None, image_id: str) -> SourceImage:
    """The only image of an archive that was saved by its name."""
    image = None
    if blobs.has("manifest.json"):
        image = read_docker_image(blobs, label, None, platform)
    if blobs.has("index.json") and (image is None or image.digest != image_id):
        return read_layout_image(blobs, label, None, platform, image_id)
    if image is None:
        raise SlimtraceError(f"cannot read {label}: Docker saved an archive without a manifest")
    return image
