"""The name that an image gets where the user gives none: the full image's, or DEST's."""

from __future__ import annotations

import os
import re
import tarfile
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.images.read.image_tag import find_tag
from slimtrace.builder.images.reference import (
    Syntax,
    Transport,
    image_name,
    is_digest,
    parse_reference,
    split_name,
)
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from slimtrace.builder.images.reference import ImageReference

_ENDING = re.compile(r"\.(tar|oci|img)$")
_NAMELESS = "image"
_LATEST = "latest"


def add_default_name(reference: ImageReference, source: str | None) -> ImageReference:
    """Give a destination without a name the full image's, or one from its path.

    In an OCI layout, which is a folder of one name's tags, it is only the tag.

    :param source: the full image's reference; None for none.
    """
    if reference.name or reference.transport.syntax in {Syntax.PATH, Syntax.NAME}:
        return reference
    name = find_name(source) or name_of_path(reference.location)
    if reference.transport is Transport.OCI:
        name = split_name(name).tag
    return replace(reference, name=name)


def find_name(source: str | None) -> str | None:
    """The name of an image as ``NAME:TAG``; None where it has none, or only a tag."""
    if source is None:
        return None
    try:
        reference = parse_reference(source)
        name = reference.name or find_tag(reference)
        if name is None or (reference.transport.syntax is Syntax.PATH_AND_TAG and ":" not in name):
            return None
        parts = split_name(name)
        if is_digest(name):
            return None
        return image_name(f"{parts.repository}:{parts.tag or _LATEST}")
    except (SlimtraceError, tarfile.TarError, LookupError, TypeError):
        return None  # it has moved, or is packed


def name_of_path(path: str) -> str:
    """A name from the last part of a path: ``app:latest`` for ``out/app.tar``."""
    stem = _ENDING.sub("", os.path.basename(os.path.abspath(path)))
    words = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    return f"{words or _NAMELESS}:{_LATEST}"
