"""Fetches images from podman's store or a registry, by skopeo."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.images.documents import compute_digest
from slimtrace.builder.images.read import document_parser, image_cache
from slimtrace.builder.images.read.blobs import FolderBlobs
from slimtrace.builder.images.read.manifest import (
    check_platform,
    choose_platform,
    read_skopeo_image,
)
from slimtrace.builder.images.read.platform_choice import parse_platform
from slimtrace.builder.images.reference import Transport, split_name
from slimtrace.builder.images.skopeo import need_skopeo, run_skopeo, tls_options
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.builder.images.read.blobs import Blobs
    from slimtrace.builder.images.read.manifest import SourceImage
    from slimtrace.builder.images.reference import ImageReference

_HINT = "install skopeo, or save the image: podman save -o image.tar NAME"


def fetch_image(
    reference: ImageReference,
    platform: str | None,
    digest: str | None,
    unpack: Callable[[str, SourceImage, Blobs, str], image_cache.UnpackedTree],
) -> image_cache.CachedImage:
    """Open an image in a store or a registry; fetch it only if the cache lacks it.

    :param digest: of the manifest that the caller needs; None if it is not known.
    :param unpack: unpacks an image (arguments: its name, the image, its blobs, the directory).
    :raises SlimtraceError: skopeo is missing or fails, or the image is damaged.
    """
    text = str(reference)
    failure = f"cannot read {text}"
    need_skopeo(failure, _HINT)
    raw = run_skopeo(["inspect", "--raw", *tls_options(reference), text], failure)
    request = _make_request(reference, raw, platform, digest)
    cached = image_cache.find_image(request.digest, text) if request.digest is not None else None
    if cached is not None:
        check_platform(cached.config, text, platform)
        return cached
    say(f"fetching {text}")
    with image_cache.scratch_folder() as folder:
        tls = tls_options(reference, "src-")
        argv = ["copy", "--quiet", *tls, request.text, f"dir:{folder}"]
        run_skopeo([*_platform_options(platform), *argv], failure)
        blobs = FolderBlobs(folder, text)
        image = _check_fetched(read_skopeo_image(blobs, text, platform), request)
        return image_cache.get_image(
            image.digest, text, lambda place: unpack(text, image, blobs, place)
        )


class _Request(NamedTuple):
    """The image that skopeo is to fetch.

    :ivar text: the reference for skopeo, by digest where that is possible.
    :ivar digest: of the manifest, where it is known before the fetch.
    :ivar config: the configuration's digest, where the fetched manifest will be another one:
        podman's store keeps layers unpacked, and skopeo writes a manifest for the layers that it
        packs again.
    """

    text: str
    digest: str | None
    config: str | None


def _make_request(
    reference: ImageReference, raw: bytes, platform: str | None, digest: str | None
) -> _Request:
    text = str(reference)
    is_registry = reference.transport is Transport.REGISTRY
    document = document_parser.parse_document(raw, text)
    if not document_parser.is_index(document, None, text):
        digest = compute_digest(raw)
        if is_registry:
            return _Request(_pin(reference, digest), digest, None)
        return _Request(text, digest, document_parser.parse_manifest(document, text).config.digest)
    if is_registry:
        digest = choose_platform(
            document_parser.parse_index(document, text), text, platform, digest
        ).digest
        return _Request(_pin(reference, digest), digest, None)
    return _Request(text, None, None)


def _check_fetched(image: SourceImage, request: _Request) -> SourceImage:
    """The fetched image with the requested digest; a configuration's digest fixes its layers.

    :raises SlimtraceError: skopeo fetched another image.
    """
    if request.config is not None and request.digest is not None:
        if image.config_digest == request.config:
            return image._replace(digest=request.digest)
    elif request.digest in {None, image.digest}:
        return image
    raise SlimtraceError(
        f"cannot read {request.text}: skopeo fetched another image, {image.digest}", "try again"
    )


def _pin(reference: ImageReference, digest: str) -> str:
    """``docker://HOST/NAME@DIGEST``, without the tag: skopeo refuses a tag and a digest."""
    repository = split_name(reference.name or "").repository
    return f"{reference.transport.prefix}{repository}@{digest}"


def _platform_options(platform: str | None) -> list[str]:
    requested = parse_platform(platform)
    options = ["--override-os", requested.os, "--override-arch", requested.architecture]
    return [*options, "--override-variant", requested.variant] if requested.variant else options
