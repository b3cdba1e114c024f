"""Writes OCI image layouts: a directory of blobs and an index (image-spec image-layout.md)."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.builder.images.documents import INDEX_TYPE, MANIFEST_TYPE, to_json
from slimtrace.builder.images.reference import ImageReference, Transport
from slimtrace.builder.images.write.atomic import (
    check_folder,
    open_replacement,
    remove_on_error,
    remove_path,
    sync_folder,
    temporary_name,
)
from slimtrace.builder.os_errors import convert_write_errors
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slimtrace.builder.model import Entry, Image
    from slimtrace.tracer.caution import Caution

MARKER = b'{"imageLayoutVersion":"1.0.0"}'
REF_NAME = "org.opencontainers.image.ref.name"

# Errors of link(2) after which the blob is copied into the layout.
_NOT_LINKABLE_ERRNOS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS}


def make_descriptor(image: Image, annotations: Mapping[str, str]) -> dict[str, Any]:
    """The descriptor of an image in an index (descriptor.md)."""
    platform = {"architecture": orjson.loads(image.config)["architecture"], "os": "linux"}
    listed: dict[str, Any] = {
        "mediaType": MANIFEST_TYPE,
        "digest": image.digest,
        "size": len(image.manifest),
        "platform": platform,
    }
    return {**listed, "annotations": dict(annotations)} if annotations else listed


def make_index(manifests: list[Any]) -> dict[str, Any]:
    """Make an index of descriptors (image-index.md)."""
    return {"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}


def blob_path(digest: str) -> str:
    """The path of a blob in a layout."""
    return "blobs/" + digest.replace(":", "/", 1)


@dataclass(frozen=True, slots=True)
class OciLayout:
    """``oci:DIR[:TAG]``. Other images in DIR stay; an image with the same tag is replaced."""

    folder: str
    tag: str | None = None

    def __str__(self) -> str:
        return str(ImageReference(Transport.OCI, self.folder, self.tag))

    @property
    def warnings(self) -> tuple[Caution, ...]:
        return ()

    def work_folder(self) -> str:
        place = os.path.realpath(self.folder)
        return place if os.path.isdir(place) else os.path.dirname(place)

    def prepare(self) -> None:
        """Check that the layout can be made, or that an image can be added to it.

        :raises SlimtraceError: it cannot.
        """
        place = os.path.realpath(self.folder)
        if not os.path.lexists(place):
            check_folder(os.path.dirname(place), self.folder)
            return
        check_folder(place, self.folder)
        with convert_write_errors(self.folder):
            names = os.listdir(place)
        if not names:
            return
        if "oci-layout" not in names:
            raise SlimtraceError(
                f"cannot write {self.folder}: it is not empty and not an OCI layout",
                "name an empty or a new directory",
            )
        self._read_index(place)

    def write(self, image: Image, entries: Iterable[Entry]) -> None:  # noqa: ARG002 -- Destination
        """Add the image.

        :raises SlimtraceError: it cannot be written; the layout is then as it was.
        """
        place = os.path.realpath(self.folder)
        with convert_write_errors(self.folder):
            if os.path.isdir(place):
                self._add(place, image)
                return
            beside = temporary_name(place)
            with remove_on_error(beside):
                os.mkdir(beside)
                self._add(beside, image)
                os.rename(beside, place)
                sync_folder(os.path.dirname(place))

    def _add(self, place: str, image: Image) -> None:
        # ``added`` removes the files it was given, unless everything succeeds.
        with _lock_layout(place), ExitStack() as added:
            for name in ("blobs", "blobs/sha256"):
                _make_folder(added, os.path.join(place, name))
            for digest, data in (
                (image.config_digest, image.config),
                (image.digest, image.manifest),
            ):
                _write_blob(added, os.path.join(place, blob_path(digest)), data)
            _link_blob(added, image.layer.blob, os.path.join(place, blob_path(image.layer.digest)))
            _write_blob(added, os.path.join(place, "oci-layout"), MARKER)
            for name in ("blobs/sha256", "blobs", "."):
                sync_folder(os.path.join(place, name))
            old = self._read_index(place)
            kept = [listed for listed in old["manifests"] if not _is_replaced(listed, self.tag)]
            new = make_descriptor(image, {REF_NAME: self.tag} if self.tag else {})
            with open_replacement(os.path.join(place, "index.json")) as file:
                file.write(to_json({**old, "manifests": [*kept, new]}))
                file.flush()
                os.fsync(file.fileno())
                # Only the rename is left. A Ctrl-C just after it must not remove the blobs.
                added.pop_all()

    def _read_index(self, place: str) -> dict[str, Any]:
        path = os.path.join(place, "index.json")
        try:
            with open(path, "rb") as file:
                found = orjson.loads(file.read())
            # Go programs write an empty list as null.
            found["manifests"] = found["manifests"] or []
            if all(isinstance(listed, dict) for listed in found["manifests"]):
                return dict(found)
        except FileNotFoundError:
            return make_index([])
        except OSError as error:
            raise SlimtraceError(f"cannot read {path}: {error.strerror}") from error
        except (KeyError, TypeError, orjson.JSONDecodeError):
            pass
        raise SlimtraceError(
            f"cannot write {self.folder}: its index.json is damaged", "name a new directory"
        )


def _is_replaced(listed: dict[str, Any], tag: str | None) -> bool:
    """Whether a new image with this tag replaces a listed manifest.

    An image without a tag replaces another one without, since two make ``oci:DIR`` ambiguous.
    Artifacts that describe images (artifactType) have no tags; they stay.
    """
    had = (listed.get("annotations") or {}).get(REF_NAME)
    if tag is None:
        return (
            had is None
            and listed.get("mediaType") == MANIFEST_TYPE
            and ("artifactType" not in listed)
        )
    return bool(had == tag)


@contextmanager
def _lock_layout(folder: str) -> Iterator[None]:
    """Lock a layout: two builds must not change its index at the same time."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _make_folder(added: ExitStack, path: str) -> None:
    if not os.path.isdir(path):
        os.mkdir(path)
        added.callback(remove_path, path)


def _write_blob(added: ExitStack, path: str, data: bytes) -> None:
    if os.path.lexists(path):
        return
    with open_replacement(path) as file:
        file.write(data)
    added.callback(remove_path, path)


def _link_blob(added: ExitStack, blob: str, path: str) -> None:
    if os.path.lexists(path):
        return
    try:
        os.link(blob, path)
    except OSError as error:
        if error.errno not in _NOT_LINKABLE_ERRNOS:
            raise
        with open(blob, "rb") as source, open_replacement(path) as file:
            shutil.copyfileobj(source, file, 1 << 20)
    added.callback(remove_path, path)
