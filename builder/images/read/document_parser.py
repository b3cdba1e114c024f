"""Parses and checks an image's documents (image-spec v1.1; docker's Image Manifest V2).

No document is trusted: anybody can write a file or push to a registry.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import orjson

from slimtrace.builder.images.documents import CONFIG_TYPE, INDEX_TYPE, MANIFEST_TYPE
from slimtrace.builder.images.read.platform_choice import Platform
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_DOCUMENT_BYTES = 4 << 20
"""The limit of registries (distribution-spec, "Pushing Manifests")."""

_MAX_LAYERS = 1000
_DOCKER = "application/vnd.docker."
DOCKER_MANIFEST = f"{_DOCKER}distribution.manifest.v2+json"
DOCKER_LIST = f"{_DOCKER}distribution.manifest.list.v2+json"
_INDEXES = {INDEX_TYPE, DOCKER_LIST}
_MANIFESTS = {MANIFEST_TYPE, DOCKER_MANIFEST}
_CONFIGS = {CONFIG_TYPE, f"{_DOCKER}container.image.v1+json"}
_OCI_LAYER = "application/vnd.oci.image.layer."
_LAYERS = {
    *(f"{_OCI_LAYER}{kind}{packed}" for kind in ("v1.tar", "nondistributable.v1.tar")
      for packed in ("", "+gzip", "+zstd")),
    *(f"{_DOCKER}image.rootfs.{kind}.tar{packed}" for kind in ("diff", "foreign.diff")
      for packed in ("", ".gzip", ".zstd")),
}  # fmt: skip
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_DOCKER_SCHEMA_1 = f"{_DOCKER}distribution.manifest.v1"

Document = dict[str, Any]


class Descriptor(NamedTuple):
    """A reference to another blob in a document (descriptor.md).

    :ivar platform: None where the document gives none.
    """

    media_type: str
    digest: str
    size: int
    platform: Platform | None
    annotations: Mapping[str, str]
    artifact_type: str | None


class Manifest(NamedTuple):
    """One image: its configuration and its layers, the lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...]


def check_document(data: bytes, descriptor: Descriptor) -> None:
    """:raises SlimtraceError: ``data`` does not match the descriptor."""
    if descriptor.size > MAX_DOCUMENT_BYTES:
        _fail(descriptor.digest, f"it is larger than {MAX_DOCUMENT_BYTES} bytes")
    algorithm = descriptor.digest.partition(":")[0]
    found = f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"
    if len(data) != descriptor.size or found != descriptor.digest:
        _fail(descriptor.digest, f"its digest is {found}, with {len(data)} bytes")


def parse_document(data: bytes, label: str) -> Document:
    """Parse the JSON object in ``data``.

    :param label: its name in messages.
    :raises SlimtraceError: it is larger than ``MAX_DOCUMENT_BYTES``, or is not a JSON object.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        _fail(label, f"it is larger than {MAX_DOCUMENT_BYTES} bytes")
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        _fail(label, f"it is not JSON ({error})")
    if not isinstance(found, dict):
        _fail(label, "it is not an object")
    return found


def is_index(document: Document, media_type: str | None, label: str) -> bool:
    """Whether a document is an index or a manifest.

    :param media_type: the type in its descriptor; its own ``mediaType`` must be the same.
    :raises SlimtraceError: it is neither, or could be read as both.
    """
    own = document.get("mediaType")
    if not isinstance(own, str | None):
        _fail(label, "its mediaType is not a string")
    if own is not None and media_type is not None and own != media_type:
        _fail(label, f"it is a {own!r} and should be a {media_type!r}")
    kind = own if media_type is None else media_type
    lists, layers = "manifests" in document, "layers" in document
    # Two programs could read it as two different images
    # (https://github.com/opencontainers/image-spec/security/advisories/GHSA-77vh-xpmg-72qh).
    if lists and (layers or "config" in document):
        _fail(label, "it is both an index and a manifest")
    if kind is None:
        if not lists and not layers:
            _fail(label, "it is neither an index nor a manifest")
        return lists
    if kind in _INDEXES or kind in _MANIFESTS:
        return kind in _INDEXES
    if kind.startswith(_DOCKER_SCHEMA_1):
        raise _error(label, "it has docker's schema 1, which is no longer supported")
    raise _error(label, f"its type {kind!r} is not an image type")


def parse_index(document: Document, label: str) -> list[Descriptor]:
    """The descriptors that an index lists.

    :raises SlimtraceError: it is damaged.
    """
    found = document.get("manifests")
    found = [] if found is None else found  # Go programs write an empty list as null
    if not isinstance(found, list):
        _fail(label, "its manifests are not a list")
    return [_descriptor(each, label) for each in found]


def parse_manifest(document: Document, label: str) -> Manifest:
    """The config and layers of a manifest.

    :raises SlimtraceError: it is damaged, or describes something else than an image.
    """
    if document.get("schemaVersion") != 2:
        _fail(label, "its schemaVersion is not 2")
    config = _descriptor(document.get("config"), label)
    if config.media_type not in _CONFIGS:
        kind = document.get("artifactType") or config.media_type
        _fail(label, f"it is a {kind!r} and not an image")
    layers = document.get("layers")
    if not isinstance(layers, list) or len(layers) > _MAX_LAYERS:
        _fail(label, f"its layers are not a list of up to {_MAX_LAYERS}")
    found = tuple(_descriptor(layer, label) for layer in layers)
    for layer in found:
        if layer.media_type.endswith("+encrypted"):
            _fail(label, "its layers are encrypted", "decrypt it first, as by skopeo copy")
        if layer.media_type not in _LAYERS:
            _fail(label, f"a layer's type {layer.media_type!r} is not a layer type of images")
    return Manifest(config, found)


def parse_diff_ids(config: Document, layers: int, label: str) -> list[str]:
    """The digests of the layers' tars (config.md).

    :raises SlimtraceError: they are damaged, or their number is not that of the layers.
    """
    rootfs = config.get("rootfs")
    if not isinstance(rootfs, dict):
        # Else a manifest could pass as a configuration, under the manifest's digest.
        _fail(label, "it has no rootfs: it is not the configuration of an image")
    found = rootfs.get("diff_ids")
    found = [] if found is None else found
    if not isinstance(found, list):
        _fail(label, "its diff_ids are not a list")
    if len(found) != layers:
        _fail(label, f"it has {len(found)} diff_ids for {layers} layers")
    return [_digest(each, label) for each in found]


def _descriptor(found: object, label: str) -> Descriptor:
    if not isinstance(found, dict):
        _fail(label, "a descriptor in it is not an object")
    media_type, size = found.get("mediaType"), found.get("size")
    if not isinstance(media_type, str):
        _fail(label, "a descriptor in it has no mediaType")
    if type(size) is not int or not 0 <= size < 1 << 63:
        _fail(label, "a descriptor in it has no size")
    annotations = found.get("annotations") or {}
    artifact_type = found.get("artifactType")
    if not isinstance(annotations, dict) or not isinstance(artifact_type, str | None):
        _fail(label, "a descriptor in it is damaged")
    return Descriptor(
        media_type,
        _digest(found.get("digest"), label),
        size,
        _platform(found.get("platform"), label),
        {key: value for key, value in annotations.items() if isinstance(value, str)},
        artifact_type,
    )


def _platform(found: object, label: str) -> Platform | None:
    if found is None:
        return None
    if isinstance(found, dict):
        parts = [found.get("os"), found.get("architecture"), found.get("variant") or ""]
        strings = [part for part in parts if isinstance(part, str)]
        if len(strings) == len(parts):
            return Platform(*strings)
    raise _error(label, "a platform in it is damaged")


def _digest(found: object, label: str) -> str:
    if not isinstance(found, str) or not _DIGEST.fullmatch(found):
        _fail(label, f"{found!r} is not a sha256 or sha512 digest")
    return found


def _fail(label: str, cause: str, hint: str | None = None) -> NoReturn:
    raise _error(label, cause, hint)


def _error(label: str, cause: str, hint: str | None = None) -> SlimtraceError:
    return SlimtraceError(f"cannot read {label}: {cause}", hint)
