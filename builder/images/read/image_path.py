"""What an image's path contains: a layout, an archive, a root tarball or a tree."""

from __future__ import annotations

import difflib
import os
import posixpath
import re
from typing import TYPE_CHECKING

from slimtrace.builder.images.read.blobs import open_regular
from slimtrace.builder.images.reference import (
    ImageReference,
    Transport,
    check_ref_name,
    is_image_name,
)
from slimtrace.builder.images.unpack.bytestream import FileStream
from slimtrace.builder.images.unpack.decompress import ExpectedDigest, is_compressed, open_layer
from slimtrace.builder.images.unpack.limits import read_limits
from slimtrace.builder.images.unpack.tar_reader import DIRECTORY, TarReader
from slimtrace.builder.os_errors import convert_read_errors
from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.images.unpack.tar_reader import TarMember

_LAYOUT_FILES = ("oci-layout", "index.json")
_SKOPEO_FILES = ("version", "manifest.json")  # containers-transports(5), "dir:"
# What an archive of an image has at its top: an OCI layout, or docker save's files of all times.
_IMAGE_MEMBER = re.compile(
    r"blobs(/.*)?|oci-layout|index\.json|manifest\.json|repositories"
    r"|(sha256:)?[0-9a-f]{64}(\.json|\.tar|/.*)?"
)
_ROOT_FOLDERS = {*("bin", "boot", "dev", "etc", "home", "lib", "opt", "proc", "root", "run")} | {
    *("sbin", "srv", "sys", "tmp", "usr", "var")
}
_OTHER_COMPRESSION = {
    b"\xfd7zX": "xz",
    b"BZh": "bzip2",
    b"PK\x03\x04": "zip",
    b"\x04\x22M\x18": "lz4",
}


def find_path(text: str) -> ImageReference | None:
    """Find the image at an existing path, by its content; None where there is none.

    A folder is a tree if it has a root's folders, or if the text is written as a path. An OCI
    layout or an archive can have ``:TAG`` after it.

    :raises SlimtraceError: there is a file or folder that is no image.
    """
    path = os.path.expanduser(text)
    if os.path.isdir(path):
        return _find_in_folder(text, path)
    if os.path.lexists(path):
        return ImageReference(_read_kind(path), path)
    before, colon, name = path.rpartition(":")
    while colon:
        if os.path.isdir(before) and _is_layout(before):
            check_ref_name(name)
            return ImageReference(Transport.OCI, before, name)
        if os.path.isfile(before) and is_image_name(name):
            return _find_in_archive(before, name)
        # The tag may have a colon too: oci:dir:localhost/app:1
        before, colon, last = before.rpartition(":")
        name = f"{last}:{name}"
    return None


def explain_absence(text: str) -> SlimtraceError:
    """The error for a path that does not exist, with the files beside it that have a like name."""
    path = os.path.expanduser(text)
    folder, name = os.path.split(path.rstrip("/"))
    try:
        near = difflib.get_close_matches(name, os.listdir(folder or "."), 3, 0.75)
    except OSError:
        near = []
    paths = " or ".join(os.path.join(folder, each) for each in near)
    try:
        os.stat(path)
        cause = "it is no image"
    except OSError as error:
        cause = error.strerror or str(error)
    return SlimtraceError(
        f"cannot read {text}: {cause}", f"did you mean {paths}?" if near else None
    )


def _find_in_folder(text: str, path: str) -> ImageReference | None:
    if _is_layout(path):
        return ImageReference(Transport.OCI, path)
    with convert_read_errors(path):
        names = set(os.listdir(path))
    if names >= set(_SKOPEO_FILES):
        raise SlimtraceError(
            f"cannot read {text}: it is a folder of skopeo's dir: transport",
            f"copy it to a layout: skopeo copy dir:{text} oci:LAYOUT:latest",
        )
    is_written_as_path = "/" in text or text in {".", ".."}
    if is_written_as_path or len(names & _ROOT_FOLDERS) > 1:
        return ImageReference(Transport.ROOTFS, path)
    return None


def _is_layout(path: str) -> bool:
    return all(os.path.isfile(os.path.join(path, name)) for name in _LAYOUT_FILES)


def _find_in_archive(path: str, name: str) -> ImageReference:
    kind = _read_kind(path)
    if kind is Transport.TARBALL:
        raise UsageError(
            f"cannot read {path}:{name}: a root tarball has no place for a name", f"name {path}"
        )
    # FILE.tar has no place for a name; both other forms read the same archives.
    return ImageReference(Transport.DOCKER_ARCHIVE, path, name)


def _read_kind(path: str) -> Transport:
    """Whether a file is an archive of an image or a root tarball.

    :raises SlimtraceError: it is neither.
    """
    with convert_read_errors(path), open_regular(path) as file:
        start = os.pread(file.fileno(), 512, 0)
        if not is_compressed(start):
            _check_tar(path, start)
            return _judge(TarReader(FileStream(file.fileno()), path))
        # Only as much is decompressed as decides it.
        limits = read_limits()
        kind = Transport.TARBALL
        try:
            with open_layer(file, path, ExpectedDigest(), limits) as stream:
                kind = _judge(TarReader(stream, path))
                raise _Decided  # else the rest would be read and verified  # noqa: TRY301
        except _Decided:
            return kind


class _Decided(Exception):  # noqa: N818 -- ends the reading early
    pass


def _judge(members: Iterable[TarMember]) -> Transport:
    for member in members:
        name = posixpath.normpath(f"/{member.name}").lstrip("/")
        if not name:
            continue  # "./" begins many tarballs
        if _IMAGE_MEMBER.fullmatch(name) is None:
            return Transport.TARBALL
        if member.type != DIRECTORY:
            return Transport.ARCHIVE
    return Transport.TARBALL


def _check_tar(path: str, start: bytes) -> None:
    """:raises SlimtraceError: the file's start cannot be that of a tar archive."""
    for magic, program in _OTHER_COMPRESSION.items():
        if start.startswith(magic):
            raise SlimtraceError(
                f"cannot read {path}: it is packed by {program}", "unpack it, or pack it with gzip"
            )
    # ustar and GNU tar have a magic (tar(5)); a header of the old format ends in zeros.
    if len(start) < 512 or not (start[257:262] == b"ustar" or not any(start[345:])):
        raise SlimtraceError(
            f"cannot read {path}: it is neither an archive of an image nor a root tarball",
            "name an archive of docker save, podman save or slimtrace build, an OCI layout, a "
            "tarball of a root, or a folder",
        )
