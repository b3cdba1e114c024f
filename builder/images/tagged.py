"""What an image is called in its archive or layout, where the words that name it do not say."""

from __future__ import annotations

import os
import tarfile
from typing import Any

import orjson

from slimtrace.builder.failing import reading
from slimtrace.builder.images.oci import REF_NAME


def tag_of(text: str) -> str | None:
    """The tag of the one image in FILE.tar, ``docker-archive:``, ``oci:`` or ``oci-archive:``.

    None where ``text`` names it, the image has no name, or there is no place for one.

    :param text: as :func:`slimtrace.builder.images.destination.parse_destination` takes it.
    :raises SlimtraceError: it cannot be read.
    """
    transport, colon, rest = text.partition(":")
    if text.endswith(".tar") and (not colon or "/" in transport):
        return _in_manifest(_document(text, "manifest.json"))
    path, _, reference = rest.partition(":")
    if reference:
        return None
    if transport == "docker-archive":
        return _in_manifest(_document(path, "manifest.json"))
    if transport in {"oci", "oci-archive"}:
        return _in_index(_document(path, "index.json"))
    return None


def _document(path: str, name: str) -> Any:
    """A document of a folder or an archive that slimtrace wrote."""
    with reading(path):
        if os.path.isdir(path):
            with open(os.path.join(path, name), "rb") as file:
                return orjson.loads(file.read())
        with tarfile.open(path) as archive:
            member = archive.extractfile(name)
            return None if member is None else orjson.loads(member.read())


def _in_manifest(images: Any) -> str | None:
    return next(iter(images[0]["RepoTags"] or ()), None)


def _in_index(index: Any) -> str | None:
    annotations = index["manifests"][0].get("annotations") or {}
    found = annotations.get(REF_NAME)
    return None if found is None else str(found)
