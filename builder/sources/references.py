"""Which image is meant: the words after ``--image``, in the transports of skopeo and podman."""

from __future__ import annotations

import os
from typing import Literal, NamedTuple, get_args

from slimtrace.builder.images.references import image_name, ref_name
from slimtrace.builder.images.skopeo import TRANSPORTS
from slimtrace.tracer.errors import UsageError

FORMS = """\
FILE.tar                     an archive as docker, podman or slimtrace wrote it
oci:DIR[:TAG]                an OCI layout
oci-archive:FILE[:TAG]       an OCI layout in a tar
docker-archive:FILE[:NAME]   what docker save wrote
rootfs:DIR                   a plain tree
tar:FILE                     a root tarball, plain or packed by gzip or zstd
containers-storage:NAME      podman's store (skopeo)
docker-daemon:NAME:TAG       docker's store (skopeo)
docker://NAME                a registry (skopeo)"""

Transport = Literal["oci", "oci-archive", "docker-archive", "rootfs", "tar", "archive", "skopeo"]


class Source(NamedTuple):
    """A source of a full image.

    :ivar text: as the user named it.
    :ivar path: of the file or folder; of ``skopeo``, the whole name.
    :ivar reference: the tag or the name that is wanted there; None where the only one is.
    """

    text: str
    transport: Transport
    path: str
    reference: str | None = None

    def __str__(self) -> str:
        return self.text

    def anywhere(self) -> str:
        """The name by which it is found from any directory."""
        if self.transport == "skopeo":
            return self.text
        transport = "" if self.transport == "archive" else f"{self.transport}:"
        reference = f":{self.reference}" if self.reference else ""
        return f"{transport}{os.path.abspath(self.path)}{reference}"


def parse_source(text: str) -> Source:
    """The source that ``text`` names.

    As in skopeo, the first colon after the transport ends a path.

    :raises UsageError: ``text`` is no source.
    """
    if text.startswith(TRANSPORTS):
        if text in TRANSPORTS:
            raise UsageError(f"cannot read {text!r}: a name is missing", FORMS)
        return Source(text, "skopeo", text)
    transport, colon, rest = text.partition(":")
    # A slash before the colon is a path's, never a transport's: ./a:b.tar
    if text.endswith(".tar") and (not colon or "/" in transport):
        return Source(text, "archive", text)
    if rest and (transport in {"rootfs", "tar"}):
        return Source(text, _known(transport), rest)
    path, _, reference = rest.partition(":")
    if path and transport == "docker-archive":
        return Source(text, _known(transport), path, image_name(reference) if reference else None)
    if path and transport in {"oci", "oci-archive"}:
        return Source(text, _known(transport), path, ref_name(reference) if reference else None)
    raise UsageError(f"cannot read {text!r}: it names no image", FORMS)


def _known(transport: str) -> Transport:
    return next(each for each in get_args(Transport) if each == transport)
