"""Images in an engine's store or a registry, fetched by skopeo."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.images.read import document_parser, image_cache
from slimtrace.builder.images.read.blobs import FolderBlobs
from slimtrace.builder.images.read.manifest import check_platform, choose, in_folder_of_skopeo
from slimtrace.builder.images.read.platform_choice import parse_platform
from slimtrace.builder.images.skopeo import REGISTRY, need_skopeo, run_skopeo
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.builder.images.read.blobs import Blobs
    from slimtrace.builder.images.read.manifest import SourceImage

_DAEMON = "docker-daemon:"
_HINT = "install skopeo, or save the image: podman save -o image.tar NAME"


def copied(
    name: str,
    platform: str | None,
    digest: str | None,
    unpack: Callable[[str, SourceImage, Blobs, str], image_cache.UnpackedTree],
) -> image_cache.CachedImage:
    """The image that a transport of skopeo's has; fetched only when the cache lacks it.

    :param digest: of the image that is meant, where it is known.
    :param unpack: unpacks an image (told its name, itself and its blobs) into a directory.
    :raises SlimtraceError: skopeo is missing or fails, or the image is damaged.
    """
    failure = f"cannot read {name}"
    need_skopeo(failure, _HINT)
    wanted = _Wanted(name, None, None)
    if not name.startswith(_DAEMON):  # it has no manifest, and would be saved whole to make one
        raw = run_skopeo(["inspect", "--raw", name], failure)
        wanted = _wanted(name, raw, platform, digest)
    kept = image_cache.find(wanted.digest, name) if wanted.digest is not None else None
    if kept is not None:
        check_platform(kept.config, name, platform)
        return kept
    say(f"fetching {name}")
    with image_cache.scratch() as folder:
        words = ["copy", "--quiet", wanted.name, f"dir:{folder}"]
        run_skopeo([*_overriding(platform), *words], failure)
        blobs = FolderBlobs(folder, name)
        found = _as_wanted(in_folder_of_skopeo(blobs, name, platform), wanted)
        return image_cache.keep(found.digest, name, lambda place: unpack(name, found, blobs, place))


class _Wanted(NamedTuple):
    """What is to be fetched.

    :ivar name: as skopeo takes it, by digest where that can be.
    :ivar digest: of the manifest, where it is known before.
    :ivar config: the configuration's digest, where the manifest will be another one: podman's
        store keeps layers unpacked, and skopeo writes a manifest for what it packed anew.
    """

    name: str
    digest: str | None
    config: str | None


def _wanted(name: str, raw: bytes, platform: str | None, meant: str | None) -> _Wanted:
    document = document_parser.parse(raw, name)
    if not document_parser.is_index(document, None, name):
        digest = document_parser.digest_of(raw)
        if name.startswith(REGISTRY):
            return _Wanted(_by_digest(name, digest), digest, None)
        return _Wanted(name, digest, document_parser.manifest(document, name).config.digest)
    if name.startswith(REGISTRY):
        digest = choose(document_parser.listed(document, name), name, platform, meant).digest
        return _Wanted(_by_digest(name, digest), digest, None)
    return _Wanted(name, None, None)


def _as_wanted(found: SourceImage, wanted: _Wanted) -> SourceImage:
    """What skopeo brought, when it is what was asked for: a configuration binds its layers."""
    if wanted.config is not None and wanted.digest is not None:
        if found.config_digest == wanted.config:
            return found._replace(digest=wanted.digest)
    elif wanted.digest in {None, found.digest}:
        return found
    raise SlimtraceError(
        f"cannot read {wanted.name}: another image came, {found.digest}", "try again"
    )


def _by_digest(name: str, digest: str) -> str:
    """``docker://HOST/NAME@DIGEST``; a tag that was there would be refused beside it."""
    name = name.partition("@")[0]
    above, slash, last = name.rpartition("/")
    return f"{above}{slash}{last.partition(':')[0]}@{digest}"


def _overriding(platform: str | None) -> list[str]:
    wanted = parse_platform(platform)
    words = ["--override-os", wanted.os, "--override-arch", wanted.architecture]
    return [*words, "--override-variant", wanted.variant] if wanted.variant else words
