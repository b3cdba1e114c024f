"""Reads the manifest and configuration of a stored image, and locates its layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from slimtrace.builder.images.documents import compute_digest
from slimtrace.builder.images.read import document_parser
from slimtrace.builder.images.read.blobs import read_document
from slimtrace.builder.images.read.platform_choice import Platform, choose_best, parse_platform
from slimtrace.builder.images.reference import canonical_name, image_name
from slimtrace.builder.images.unpack.decompress import ExpectedDigest
from slimtrace.builder.images.write.oci import REF_NAME, blob_path
from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slimtrace.builder.images.read.blobs import Blobs
    from slimtrace.builder.images.read.document_parser import Descriptor

_MAX_NESTED_INDEXES = 4
_REFERENCE_TYPE = "vnd.docker.reference.type"  # BuildKit's attestations, listed like images


class SourceLayer(NamedTuple):
    """A layer of an image.

    :ivar name: of its blob in the image's :class:`Blobs`.
    :ivar label: its name in messages.
    """

    name: str
    label: str
    expected: ExpectedDigest


class SourceImage(NamedTuple):
    """An image with verified documents and layers that are not read yet.

    :ivar digest: of its manifest; in a docker archive, which has none, of its configuration.
    :ivar layers: the lowest first.
    """

    digest: str
    config_digest: str
    config: Mapping[str, Any]
    layers: tuple[SourceLayer, ...]


def read_layout_image(
    blobs: Blobs, label: str, tag: str | None, platform: str | None, digest: str | None = None
) -> SourceImage:
    """Read an image in an OCI layout (image-layout.md).

    :param tag: its ``org.opencontainers.image.ref.name``; None for the only image.
    :param platform: of ``--platform``.
    :param digest: as for :func:`choose_platform`.
    :raises SlimtraceError: there is none, there are several, or it is damaged.
    """
    tagged = _read_index(blobs, label)
    names = {each.annotations.get(REF_NAME) for each in tagged}
    if tag is not None:
        tagged = [each for each in tagged if each.annotations.get(REF_NAME) == tag]
    if not tagged:
        raise SlimtraceError(f"cannot find an image in {label}", _list_names(names))
    if len({each.digest for each in tagged}) == 1:  # one image with several names
        names, tagged = {None}, tagged[:1]
    platforms = {each.platform for each in tagged}
    if (tag is None and len(names) > 1) or len(platforms) < len(tagged):
        raise UsageError(
            f"cannot choose an image of {label}: it contains several", _list_names(names)
        )
    chosen = tagged[0] if len(tagged) == 1 else choose_platform(tagged, label, platform, digest)
    return read_described_image(blobs, chosen, label, platform, blob_path, digest)


def lists_images(blobs: Blobs, label: str) -> bool:
    """Whether the index of a layout lists any image.

    :raises SlimtraceError: it is damaged.
    """
    return bool(_read_index(blobs, label))


def _read_index(blobs: Blobs, label: str) -> list[Descriptor]:
    data = read_document(blobs, "index.json")
    index = document_parser.parse_document(data, f"{label}: index.json")
    return [each for each in document_parser.parse_index(index, label) if _may_be_image(each)]


def read_docker_image(
    blobs: Blobs, label: str, name: str | None, platform: str | None
) -> SourceImage:
    """Read an image in an archive of ``docker save`` (moby, image/spec/v1.2.md).

    :raises SlimtraceError: there is none, there are several, or it is damaged.
    """
    about = f"{label}: manifest.json"
    # manifest.json is a list, and parse_document takes an object.
    data = b'{"images":' + read_document(blobs, "manifest.json") + b"}"
    images = _parse_saved_images(document_parser.parse_document(data, about).get("images"), about)
    names = {tag for image in images for tag in image.tags}
    if name is not None:
        requested = canonical_name(image_name(name))
        images = [image for image in images if requested in map(canonical_name, image.tags)]
    if not images:
        raise SlimtraceError(f"cannot find an image in {label}", _list_names(names))
    if len(images) > 1:
        raise UsageError(
            f"cannot choose an image of {label}: it contains several", _list_names(names)
        )
    image = images[0]
    data = read_document(blobs, image.config)
    digest = compute_digest(data)
    config = document_parser.parse_document(data, f"config {digest}")
    check_platform(config, label, platform)
    ids = document_parser.parse_diff_ids(config, len(image.layers), f"config {digest}")
    layers = zip(image.layers, ids, strict=True)
    return SourceImage(
        digest,
        digest,
        config,
        tuple(
            SourceLayer(path, f"layer {path}", ExpectedDigest(diff_id=diff_id))
            for path, diff_id in layers
        ),
    )


def read_skopeo_image(blobs: Blobs, label: str, platform: str | None) -> SourceImage:
    """Read the image in a ``dir:`` folder of skopeo (containers-transports(5)).

    :raises SlimtraceError: it is damaged.
    """
    data = read_document(blobs, "manifest.json")
    return _read_image(blobs, data, compute_digest(data), None, label, platform, _skopeo_path)


def read_described_image(
    blobs: Blobs,
    descriptor: Descriptor,
    label: str,
    platform: str | None,
    place: Callable[[str], str],
    requested: str | None = None,
) -> SourceImage:
    """Read the image of a descriptor, through nested indexes.

    :param place: returns the name of the blob with a digest.
    :param requested: a digest, as for :func:`choose_platform`.
    :raises SlimtraceError: it is damaged, or for another platform.
    """
    for _ in range(_MAX_NESTED_INDEXES):
        data = read_document(blobs, place(descriptor.digest))
        document_parser.check_document(data, descriptor)
        about = f"manifest {descriptor.digest}"
        document = document_parser.parse_document(data, about)
        if not document_parser.is_index(document, descriptor.media_type, about):
            kind = descriptor.media_type
            return _read_image(blobs, data, descriptor.digest, kind, label, platform, place)
        inner = [
            each for each in document_parser.parse_index(document, about) if _may_be_image(each)
        ]
        descriptor = choose_platform(inner, label, platform, requested)
    raise SlimtraceError(
        f"cannot read {label}: its indexes are nested more than {_MAX_NESTED_INDEXES}"
    )


def choose_platform(
    listed: Sequence[Descriptor], label: str, platform: str | None, digest: str | None = None
) -> Descriptor:
    """Choose the descriptor for a platform.

    :param digest: of the image that the caller needs; the platform is then ignored. None if it is
        not known.
    :raises SlimtraceError: there is none.
    """
    for each in listed:
        if each.digest == digest:
            return each
    requested = parse_platform(platform)
    if len(listed) == 1 and listed[0].platform is None:
        return listed[0]
    at = choose_best(requested, [each.platform for each in listed])
    if at is None:
        available = sorted({str(each.platform or "unknown") for each in listed})
        _fail_without_platform(label, requested, available)
    return listed[at]


def check_platform(config: Mapping[str, Any], label: str, platform: str | None) -> None:
    """Check that an image is for a platform; None accepts every platform.

    :raises SlimtraceError: it is for another one.
    """
    if platform is None:
        return
    image_platform = Platform(
        str(config.get("os")), str(config.get("architecture")), str(config.get("variant") or "")
    )
    requested = parse_platform(platform)
    # Many configurations lack the variant that their index gives.
    known = image_platform
    if not known.variant:
        known = known._replace(variant=requested.variant)
    if choose_best(requested, [known]) is None:
        _fail_without_platform(label, requested, [str(image_platform)])


def _read_image(
    blobs: Blobs,
    data: bytes,
    digest: str,
    media_type: str | None,
    label: str,
    platform: str | None,
    place: Callable[[str], str],
) -> SourceImage:
    about = f"manifest {digest}"
    document = document_parser.parse_document(data, about)
    if document_parser.is_index(document, media_type, about):
        raise SlimtraceError(f"cannot read {about}: it is an index and should be a manifest")
    manifest = document_parser.parse_manifest(document, about)
    configuration = read_document(blobs, place(manifest.config.digest))
    document_parser.check_document(configuration, manifest.config)
    config = document_parser.parse_document(configuration, f"config {manifest.config.digest}")
    check_platform(config, label, platform)
    ids = document_parser.parse_diff_ids(config, len(manifest.layers), about)
    layers = tuple(
        SourceLayer(
            place(layer.digest),
            f"layer {layer.digest}",
            ExpectedDigest(layer.digest, layer.size, diff_id),
        )
        for layer, diff_id in zip(manifest.layers, ids, strict=True)
    )
    return SourceImage(digest, manifest.config.digest, config, layers)


def _may_be_image(descriptor: Descriptor) -> bool:
    return descriptor.artifact_type is None and _REFERENCE_TYPE not in descriptor.annotations


def _fail_without_platform(label: str, requested: Platform, available: list[str]) -> NoReturn:
    raise SlimtraceError(
        f"cannot find an image for {requested} in {label}",
        f"it has: {', '.join(available) or 'none'} (choose with --platform)",
    )


def _list_names(names: set[str | None] | set[str]) -> str:
    sorted_names = sorted(name for name in names if name)
    if not sorted_names:
        return "it contains no tagged image" if not names else "its images have no names"
    return f"name one of: {', '.join(sorted_names)}"


class _SavedImage(NamedTuple):
    config: str
    tags: list[str]
    layers: list[str]


def _parse_saved_images(images: object, label: str) -> list[_SavedImage]:
    if not isinstance(images, list):
        raise SlimtraceError(f"cannot read {label}: it is not a list")
    found = []
    for image in images:
        fields = image if isinstance(image, dict) else {}
        config, layers = fields.get("Config"), fields.get("Layers") or []
        tags = fields.get("RepoTags") or []
        if not isinstance(config, str) or not _are_strings(layers) or not _are_strings(tags):
            raise SlimtraceError(f"cannot read {label}: an image in it is damaged")
        found.append(_SavedImage(config, tags, layers))
    return found


def _are_strings(found: object) -> bool:
    return isinstance(found, list) and all(isinstance(each, str) for each in found)


def _skopeo_path(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    return value if algorithm == "sha256" else f"{algorithm}-{value}"
