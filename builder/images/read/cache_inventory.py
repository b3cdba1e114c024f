"""Lists the images in the cache, and removes them."""

from __future__ import annotations

import os
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
    """Folders of the images that were removed, and of those that are in use."""

    removed: list[str]
    in_use: list[str]


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
    result = PruneResult([], [])
    for lock in find_paths("*/*.lock", "images/*/*.lock"):
        path = lock.removesuffix(".lock")
        is_image = os.path.isdir(path)
        is_removed = _remove(lock, path)
        if is_image:
            (result.removed if is_removed else result.in_use).append(path)
    return result


def remove_image(digest: str) -> None:
    """Remove an image that this process used, unless another process uses it.

    :raises SlimtraceError: it cannot be removed.
    """
    if release_image(digest):
        path = image_folder(digest)
        _remove(f"{path}.lock", path)


def _remove(lock: str, path: str) -> bool:
    """Remove an image or a file of the cache; False if a process uses it."""
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


def _remove_errors(path: str) -> AbstractContextManager[None]:
    is_mapped = path.endswith(f".{Owners.MAPPED}") and os.geteuid() != 0
    hint = "its files belong to subordinate users: run podman unshare rm -r on it"
    return convert_os_errors(f"remove {path}", hint if is_mapped else None)
