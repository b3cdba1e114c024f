"""Makes an image's configuration and manifest, as exact bytes (image-spec v1.1)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.builder.model import Image
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from slimtrace.builder.model import ImageConfig, Layer

CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
INDEX_TYPE = "application/vnd.oci.image.index.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar+gzip"

_ANNOTATION = "org.opencontainers.image."


def make_image(layer: Layer, config: ImageConfig) -> Image:
    """Make the image with ``config`` and ``layer`` (config.md, manifest.md).

    The manifest's annotations are ``org.opencontainers.image.created`` and the labels of that
    family, since registries show annotations and engines labels.

    :raises SlimtraceError: a string of the configuration is not UTF-8, as JSON requires.
    """
    configuration = to_json(_make_configuration(layer, config))
    annotations = {key: config.labels[key] for key in config.labels if key.startswith(_ANNOTATION)}
    manifest = to_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": CONFIG_TYPE,
                "digest": compute_digest(configuration),
                "size": len(configuration),
            },
            "layers": [{"mediaType": LAYER_TYPE, "digest": layer.digest, "size": layer.size}],
            "annotations": {f"{_ANNOTATION}created": config.created, **annotations},
        }
    )
    return Image(
        layer, configuration, compute_digest(configuration), manifest, compute_digest(manifest)
    )


def compute_digest(data: bytes) -> str:
    """``sha256:…`` of a document (descriptor.md)."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def to_json(document: object) -> bytes:
    """Serialize a document in its only form: sorted keys, no spaces.

    :raises SlimtraceError: a string in it is not UTF-8.
    """
    try:
        return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        raise SlimtraceError(
            "cannot write the image's configuration: the command, the environment or a label is "
            "not UTF-8"
        ) from error


def _make_configuration(layer: Layer, config: ImageConfig) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "Entrypoint": list(config.entrypoint),
        "Cmd": list(config.cmd),
        "Env": sorted(config.env),
        "ExposedPorts": {port: {} for port in config.exposed_ports},
        "Healthcheck": config.healthcheck,
        "Labels": dict(config.labels),
        "StopSignal": config.stop_signal,
        "User": config.user,
        "Volumes": {path: {} for path in config.volumes},
        "WorkingDir": config.working_dir,
    }
    variant = {"variant": config.variant} if config.variant else {}
    return {
        "architecture": config.architecture,
        **variant,
        "os": "linux",
        "created": config.created,
        "config": {key: value for key, value in fields.items() if value},
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id]},
        "history": [
            {
                "created": config.created,
                "created_by": "slimtrace build",
                **({"comment": config.comment} if config.comment else {}),
            }
        ],
    }
