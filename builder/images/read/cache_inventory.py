"""Lists the images in the cache, and removes them."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import orjson

from slimtrace.builder.images.read.cache_layout import find_paths, image_folder
from slimtrace.builder.images.read.cache_lock import try_lock
from slimtrace.builder.images.read.image_cache import release_image
from slimtrace.builder.images.unpack.owners import Owners
from slimtrace.builder.os_errors import convert_os_errors
from slimtrace.tracer.remove_tree import remove_tree

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


class CacheEntry(NamedTuple):
    """An image in the cache.

    :ivar owners: of its files, as :class:`Owners` names them.
    :ivar size: bytes of its regular files.
    :ivar used: when it was last used, in seconds since the epoch.
    :ivar sources: the references by which it was opened.
    """

    digest: str
    owners: str
    size: int
    used: float
    sources: tuple[str, ...]
    folder: str


class PruneResult(NamedTuple):
    """What a removal of unused images did.

    :ivar removed: folders of the images that were removed.
    :ivar in_use: folders of those that are in use.
    :ivar freed: bytes of all removed files.
    """

    removed: list[str]
    in_use: list[str]
    freed: int


def list_images() -> list[CacheEntry]:
    """The images in the cache, the most recently used first."""
    entries = []
    for folder in find_paths("images/*/*"):
        try:
            with open(os.path.join(folder, "image.json"), "rb") as file:
                document = orjson.loads(file.read())
            used = os.stat(f"{folder}.lock").st_mtime
            mode = os.path.basename(folder).partition(".")[2]
            sources = tuple(map(str, document["sources"]))
            entries.append(
                CacheEntry(document["digest"], mode, document["size"], used, sources, folder)
            )
        except (OSError, ValueError, KeyError, TypeError):  # it is made or removed at this moment
            continue
    return sorted(entries, key=lambda entry: -entry.used)


def prune() -> PruneResult:
    """Remove all images that no process uses, and what killed processes left.

    :raises SlimtraceError: one cannot be removed.
    """
    removed, in_use, freed = list[str](), list[str](), 0
    sizes = {image.folder: image.size for image in list_images()}
    for lock in find_paths("*/*.lock", "images/*/*.lock"):
        path = lock.removesuffix(".lock")
        is_image = os.path.isdir(path)
        size = sizes[path] if path in sizes else _measure(path)
        size += _measure(f"{path}.tmp")
        is_removed = remove_unused(path)
        if is_image:
            (removed if is_removed else in_use).append(path)
        freed += size if is_removed else 0
    return PruneResult(removed, in_use, freed)


def remove_image(digest: str) -> None:
    """Remove an image that this process used, unless another process uses it.

    :raises SlimtraceError: it cannot be removed.
    """
    if release_image(digest):
        remove_unused(image_folder(digest))


def is_removable(image: CacheEntry) -> bool:
    """Whether this process may remove it: subordinate users' files need their namespace."""
    return image.owners != Owners.MAPPED or os.geteuid() == 0


def remove_unused(path: str) -> bool:
    """Remove an image or a file of the cache; False if a process uses it.

    :raises SlimtraceError: it cannot be removed.
    """
    lock = f"{path}.lock"
    with _remove_errors(path):
        fd = try_lock(lock)
        if fd is None:
            return False
        try:
            remove_tree(f"{path}.tmp")
            if os.path.isdir(path):
                # Renamed first: if this process is killed now, what is left is no image.
                os.rename(path, f"{path}.tmp")
                remove_tree(f"{path}.tmp")
            elif os.path.exists(path):
                os.unlink(path)
            os.unlink(lock)
        finally:
            os.close(fd)
    return True


def _measure(path: str) -> int:
    """Bytes of the regular files at a path; what cannot be read counts as nothing."""
    if not os.path.isdir(path):
        return 0
    size = 0
    for folder, _, names in os.walk(path):
        for name in names:
            with suppress(OSError):
                status = os.lstat(os.path.join(folder, name))
                size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    return size


def _remove_errors(path: str) -> AbstractContextManager[None]:
    is_mapped = path.endswith(f".{Owners.MAPPED}") and os.geteuid() != 0
    hint = "its files belong to subordinate users: run podman unshare rm -r on it"
    return convert_os_errors(f"remove {path}", hint if is_mapped else None)
