"""Which image is meant: the words after ``--image``, in the transports of skopeo and podman."""

from __future__ import annotations

import os
import re
import tarfile
from typing import Any, Literal, NamedTuple, get_args

import orjson

from slimtrace.builder.images.skopeo import TRANSPORTS
from slimtrace.builder.images.write.oci import REF_NAME
from slimtrace.builder.os_errors import reading
from slimtrace.tracer.errors import UsageError

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_NAME = re.compile(
    rf"(?P<name>(?:{_HOST}/)?{_PART}(?:/{_PART})*)(?::(?P<tag>[A-Za-z0-9_][\w.-]{{0,127}}))?",
    re.ASCII,
)
# image-spec annotations.md: the grammar of org.opencontainers.image.ref.name
_WORD = r"[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*"
_REF_NAME = re.compile(rf"{_WORD}(?:/{_WORD})*")


def image_name(text: str) -> str:
    """``NAME:TAG`` as ``docker save`` records it: ``:latest`` where no tag is given.

    :raises UsageError: ``text`` is no image name that docker and podman would take.
    """
    match = _NAME.fullmatch(text)
    if match is None:
        raise UsageError(
            f"cannot name the image {text!r}: it is not NAME or NAME:TAG",
            "names are lower case, as in example.org/team/app:1.0",
        )
    return f"{match['name']}:{match['tag'] or 'latest'}"


def canonical_name(name: str) -> str:
    """``name`` with the registry that docker means where none is given (docker.io/library/)."""
    host, slash, _ = name.partition("/")
    if not slash:
        return f"docker.io/library/{name}"
    if host == "localhost" or not {".", ":"}.isdisjoint(host):
        return name
    return f"docker.io/{name}"


def ref_name(text: str) -> str:
    """``text`` itself, when it can be a tag in an OCI layout.

    :raises UsageError: it cannot.
    """
    if not _REF_NAME.fullmatch(text):
        raise UsageError(f"cannot tag the image {text!r}: it is not a tag", "as in oci:app:1.0")
    return text


def tag_of(text: str) -> str | None:
    """The tag of the one image in FILE.tar, ``docker-archive:``, ``oci:`` or ``oci-archive:``.

    None where ``text`` names it, the image has no name, or there is no place for one.

    :param text: as :func:`slimtrace.builder.images.write.destination.parse_destination` takes it.
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


class ImageSource(NamedTuple):
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


def parse_source(text: str) -> ImageSource:
    """The source that ``text`` names.

    As in skopeo, the first colon after the transport ends a path.

    :raises UsageError: ``text`` is no source.
    """
    if text.startswith(TRANSPORTS):
        if text in TRANSPORTS:
            raise UsageError(f"cannot read {text!r}: a name is missing", FORMS)
        return ImageSource(text, "skopeo", text)
    transport, colon, rest = text.partition(":")
    # A slash before the colon is a path's, never a transport's: ./a:b.tar
    if text.endswith(".tar") and (not colon or "/" in transport):
        return ImageSource(text, "archive", text)
    if rest and (transport in {"rootfs", "tar"}):
        return ImageSource(text, _known(transport), rest)
    path, _, reference = rest.partition(":")
    if path and transport == "docker-archive":
        return ImageSource(
            text, _known(transport), path, image_name(reference) if reference else None
        )
    if path and transport in {"oci", "oci-archive"}:
        return ImageSource(
            text, _known(transport), path, ref_name(reference) if reference else None
        )
    raise UsageError(f"cannot read {text!r}: it names no image", FORMS)


def _known(transport: str) -> Transport:
    return next(each for each in get_args(Transport) if each == transport)
