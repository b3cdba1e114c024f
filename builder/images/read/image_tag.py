"""The tag of an image that slimtrace wrote into an archive or a layout."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.builder.images.reference import Transport
from slimtrace.builder.images.write.oci import REF_NAME
from slimtrace.builder.os_errors import convert_read_errors

if TYPE_CHECKING:
    from slimtrace.builder.images.reference import ImageReference


def find_tag(reference: ImageReference) -> str | None:
    """Read the tag of the only image at ``reference``.

    None where the reference names the image already, where the image has no name, and where the
    format has no place for one.

    :raises SlimtraceError: the archive or layout cannot be read.
    """
    if reference.name:
        return None
    match reference.transport:
        case Transport.ARCHIVE | Transport.DOCKER_ARCHIVE:
            images = _read_document(reference.location, "manifest.json")
            return next(iter(images[0].get("RepoTags") or ()), None)
        case Transport.OCI | Transport.OCI_ARCHIVE:
            index = _read_document(reference.location, "index.json")
            annotations = index["manifests"][0].get("annotations") or {}
            tag = annotations.get(REF_NAME)
            return None if tag is None else str(tag)
        case _:
            return None


def _read_document(path: str, name: str) -> Any:
    with convert_read_errors(path):
        if os.path.isdir(path):
            with open(os.path.join(path, name), "rb") as file:
                return orjson.loads(file.read())
        with tarfile.open(path, "r:") as archive:
            member = archive.extractfile(name)
            return None if member is None else orjson.loads(member.read())
