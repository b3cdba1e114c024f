"""Writes images as one file: OCI and docker archives, hybrids of both, root tarballs."""

from __future__ import annotations

import gzip
import os
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, BinaryIO

from slimtrace.builder.images.documents import to_json
from slimtrace.builder.images.reference import ImageReference, Transport, canonical_name
from slimtrace.builder.images.write import oci
from slimtrace.builder.images.write.atomic import check_file, open_replacement
from slimtrace.builder.images.write.tar import END, TarHeader, TarType, make_header, make_padding
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.model import Entry, Image
    from slimtrace.tracer.caution import Caution

_PIECE_BYTES = 1 << 20


class ArchiveFormat(Enum):
    """The format of an archive; the value is its transport.

    :cvar HYBRID: an OCI layout with docker's ``manifest.json``: every engine reads it.
    :cvar ROOT: the layer's tar itself, uncompressed.
    """

    OCI = Transport.OCI_ARCHIVE
    DOCKER = Transport.DOCKER_ARCHIVE
    HYBRID = Transport.ARCHIVE
    ROOT = Transport.TARBALL


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive at ``path``; an existing file is replaced.

    :ivar reference: the image's tag in an OCI archive, its ``NAME:TAG`` in the others.
    """

    form: ArchiveFormat
    path: str
    reference: str | None = None

    def __str__(self) -> str:
        return str(ImageReference(self.form.value, self.path, self.reference))

    @property
    def warnings(self) -> tuple[Caution, ...]:
        return ()

    def work_folder(self) -> str:
        return os.path.dirname(os.path.realpath(self.path))

    def prepare(self) -> None:
        """Check that the file can be written.

        :raises SlimtraceError: it cannot.
        """
        check_file(self.path)

    def write(self, image: Image, entries: Iterable[Entry]) -> None:  # noqa: ARG002 -- Destination
        """Write the archive: the same image gives the same bytes.

        :raises SlimtraceError: it cannot be written; an existing file is then unchanged.
        """
        with open_replacement(self.path) as file:
            match self.form:
                case ArchiveFormat.ROOT:
                    with gzip.open(image.layer.blob, "rb") as tar:
                        _copy(file, tar, image.layer.uncompressed)
                    return
                case ArchiveFormat.DOCKER:
                    _write_docker(file, image, self.reference)
                case ArchiveFormat.OCI:
                    names = {oci.REF_NAME: self.reference} if self.reference else {}
                    _write_layout(file, image, names)
                case ArchiveFormat.HYBRID:
                    _write_hybrid(file, image, self.reference)
            file.write(END)


def _write_hybrid(file: BinaryIO, image: Image, name: str | None) -> None:
    """As ``docker save`` writes since 25.0: manifest.json points into the layout's blobs."""
    names = {}
    if name:
        # containerd, and docker with its store, read the first, which must be canonical; others the
        # second.
        names = {"io.containerd.image.name": canonical_name(name), oci.REF_NAME: name}
    blobs = [oci.blob_path(digest) for digest in (image.config_digest, image.layer.digest)]
    _write_document(file, "manifest.json", _docker_manifest(blobs[0], blobs[1], name))
    _write_layout(file, image, names)


def _write_layout(file: BinaryIO, image: Image, annotations: dict[str, str]) -> None:
    _write_file(file, "oci-layout", oci.MARKER)
    _write_document(file, "index.json", oci.make_index([oci.make_descriptor(image, annotations)]))
    file.write(make_header(TarHeader("blobs", TarType.DIRECTORY, 0o755)))
    file.write(make_header(TarHeader("blobs/sha256", TarType.DIRECTORY, 0o755)))
    _write_file(file, oci.blob_path(image.digest), image.manifest)
    _write_file(file, oci.blob_path(image.config_digest), image.config)
    with open(image.layer.blob, "rb") as blob:
        _write_stream(file, oci.blob_path(image.layer.digest), blob, image.layer.size)


def _write_docker(file: BinaryIO, image: Image, name: str | None) -> None:
    """As skopeo does: the layer is not compressed, since old readers expect a plain tar."""
    config = image.config_digest.removeprefix("sha256:") + ".json"
    layer = image.layer.diff_id.removeprefix("sha256:") + ".tar"
    _write_document(file, "manifest.json", _docker_manifest(config, layer, name))
    _write_file(file, config, image.config)
    with gzip.open(image.layer.blob, "rb") as tar:
        _write_stream(file, layer, tar, image.layer.uncompressed)


def _docker_manifest(config: str, layer: str, name: str | None) -> list[dict[str, Any]]:
    return [{"Config": config, "RepoTags": [name] if name else None, "Layers": [layer]}]


def _write_document(file: BinaryIO, name: str, document: object) -> None:
    _write_file(file, name, to_json(document))


def _write_file(file: BinaryIO, name: str, data: bytes) -> None:
    file.write(make_header(TarHeader(name, size=len(data))) + data + make_padding(len(data)))


def _write_stream(file: BinaryIO, name: str, source: BinaryIO | gzip.GzipFile, size: int) -> None:
    file.write(make_header(TarHeader(name, size=size)))
    _copy(file, source, size)
    file.write(make_padding(size))


def _copy(file: BinaryIO, source: BinaryIO | gzip.GzipFile, size: int) -> None:
    while size:
        data = source.read(min(size, _PIECE_BYTES))
        if not data:
            raise SlimtraceError("cannot copy the layer: it changed while it was read")
        file.write(data)
        size -= len(data)
