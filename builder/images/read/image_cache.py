"""The cache of unpacked images, by their digests.

A process that uses an image holds a shared lock on it until the process ends; a process that makes
or removes an image holds an exclusive lock. ``cache_layout`` says where the files are.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.builder.images.read.cache_layout import (
    boot_id,
    cache_folder,
    image_folder,
    make_folders,
    replace_file,
    temporary_folder,
)
from slimtrace.builder.images.read.cache_lock import lock_path, release_lock, take_lock, try_lock
from slimtrace.builder.images.unpack.owners import find_owners
from slimtrace.builder.os_errors import convert_read_errors, convert_write_errors
from slimtrace.builder.root.layer_index import LayerIndex, load_index
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.remove_tree import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping


_locks: dict[str, int] = {}
"""Descriptors of the locks of the images in use, by lock file; open until the process ends."""

_unpacked: set[str] = set()
"""Digests of the images that this process unpacked."""

_PAUSE_SECONDS = 0.05  # between two looks at an image that another process makes
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DAMAGED_HINT = "remove it with: slimtrace cache --prune"


@dataclass(frozen=True, slots=True)
class UnpackedTree:
    """An image that was unpacked into a new directory."""

    digest: str
    index: LayerIndex
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CachedImage:
    """An image in the cache, in use by this process.

    :ivar folder: contains ``root`` (the tree), ``index`` and ``image.json``.
    """

    digest: str
    folder: str
    config: Mapping[str, Any]

    @property
    def root(self) -> str:
        return os.path.join(self.folder, "root")

    def index(self) -> LayerIndex:
        """:raises SlimtraceError: it is damaged."""
        return load_index(os.path.join(self.folder, "index"))


def find_image(digest: str, source: str) -> CachedImage | None:
    """Find an image in the cache and lock it until this process ends; None if it is not there.

    :param source: the image reference by which the caller found it; the cache records it.
    :raises SlimtraceError: the image cannot be read.
    """
    path = image_folder(digest)
    lock = f"{path}.lock"
    if not os.path.isdir(path):
        return None
    with convert_write_errors(lock):
        if lock not in _locks:
            fd = take_lock(lock, fcntl.LOCK_SH)
            if not _is_whole(path):
                os.close(fd)
                return None
            _locks[lock] = fd
        os.utime(lock)
    return _read_image(path, source)


def get_image(digest: str, source: str, unpack: Callable[[str], UnpackedTree]) -> CachedImage:
    """Find an image in the cache, or unpack it there: once, however many processes need it.

    :param unpack: unpacks it into an empty directory.
    :raises SlimtraceError: what ``unpack`` raises, or the cache cannot be written.
    """
    waits = False
    while True:
        cached = find_image(digest, source)
        if cached is not None:
            return cached
        path = image_folder(digest)
        with convert_write_errors(path):
            make_folders(os.path.dirname(path))
            fd = try_lock(f"{path}.lock")
            if fd is None:
                if not waits:
                    say(f"waiting for another slimtrace, which unpacks {source} or still uses it")
                waits = True
                time.sleep(_PAUSE_SECONDS)
                continue
            with release_lock(path, fd):
                if not _is_whole(path):
                    remove_tree(path)
                    with temporary_folder(f"{path}.tmp") as folder:
                        _unpacked.add(_fill(folder, source, unpack))
                        os.rename(folder, path)


def get_file_image(path: str, source: str, unpack: Callable[[str], UnpackedTree]) -> CachedImage:
    """Find the image in a file in the cache, or unpack it there.

    The file is read only if it is new: its device, inode, size and times identify it.

    :param unpack: unpacks it into an empty directory.
    :raises SlimtraceError: what ``unpack`` raises, or the cache cannot be written.
    """
    while True:
        with convert_read_errors(path):
            note = os.path.join(cache_folder(), "files", _file_identity(path))
        with convert_write_errors(note):
            make_folders(os.path.dirname(note))
            with lock_path(note):
                digest = _read_note(note)
                cached = find_image(digest, source) if digest is not None else None
                if cached is not None:
                    return cached
                with temporary_folder(f"{note}.tmp") as folder:
                    digest = _fill(folder, source, unpack)
                    with convert_read_errors(path):
                        if not note.endswith(_file_identity(path)):
                            raise SlimtraceError(
                                f"cannot read {path}: it changed while it was read", "try again"
                            )
                    _adopt(folder, digest)
                replace_file(note, digest.encode())


@contextmanager
def scratch_folder() -> Generator[str]:
    """Make a new folder in the cache, which is removed when the block ends."""
    path = os.path.join(cache_folder(), "scratch", secrets.token_hex(8))
    with convert_write_errors(path):
        make_folders(os.path.dirname(path))
    with lock_path(path), temporary_folder(f"{path}.tmp") as folder:
        yield folder


def was_unpacked_here(digest: str | None) -> bool:
    """Whether this process unpacked the image: it was not in the cache before."""
    return digest in _unpacked


def release_image(digest: str) -> bool:
    """Release this process's lock on an image; False if it has none."""
    fd = _locks.pop(f"{image_folder(digest)}.lock", None)
    _unpacked.discard(digest)
    if fd is not None:
        os.close(fd)
    return fd is not None


def _fill(folder: str, source: str, unpack: Callable[[str], UnpackedTree]) -> str:
    root = os.path.join(folder, "root")
    os.mkdir(root, 0o700)
    unpacked = unpack(root)
    unpacked.index.save(os.path.join(folder, "index"))
    document = {
        "digest": unpacked.digest,
        "config": unpacked.config,
        "size": unpacked.index.totals().size,
        "sources": [source],
        "boot": boot_id(),
    }
    replace_file(os.path.join(folder, "image.json"), orjson.dumps(document))
    return unpacked.digest


def _is_whole(folder: str) -> bool:
    """Whether an image is there and complete.

    An image is not synced: that would wait for everything else that the system has to write. After
    a crash of the system files can be shorter, so their sizes are checked once after each boot.
    """
    path = os.path.join(folder, "image.json")
    try:
        with open(path, "rb") as file:
            document = orjson.loads(file.read())
        if document["boot"] == boot_id():
            return True
        index = load_index(os.path.join(folder, "index"))
        for name in index.paths():
            node = index.get(name)
            if node is not None and stat.S_ISREG(node.mode):
                status = os.lstat(os.path.join(folder, "root", name))
                if status.st_size != node.size:
                    return False
        replace_file(path, orjson.dumps({**document, "boot": boot_id()}))
    except (OSError, ValueError, KeyError, TypeError, SlimtraceError):
        return False
    return True


def _adopt(folder: str, digest: str) -> None:
    path = image_folder(digest)
    make_folders(os.path.dirname(path))
    while not _is_whole(path):
        fd = try_lock(f"{path}.lock")
        if fd is None:
            time.sleep(_PAUSE_SECONDS)
            continue
        with release_lock(path, fd):
            if not _is_whole(path):
                remove_tree(path)
                os.rename(folder, path)
                _unpacked.add(digest)


def _read_image(folder: str, source: str) -> CachedImage:
    path = os.path.join(folder, "image.json")
    try:
        with open(path, "rb") as file:
            document = orjson.loads(file.read())
        digest, sources, config = document["digest"], document["sources"], document["config"]
    except OSError as error:
        raise SlimtraceError(f"cannot read {path}: {error.strerror}", _DAMAGED_HINT) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SlimtraceError(f"cannot read {path}: it is damaged", _DAMAGED_HINT) from error
    if source not in sources:
        replace_file(path, orjson.dumps({**document, "sources": [*sources, source]}))
    return CachedImage(digest, folder, config)


def _file_identity(path: str) -> str:
    status = os.stat(path)
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return "-".join(map(str, (*parts, find_owners() or "kept")))


def _read_note(path: str) -> str | None:
    try:
        with open(path, encoding="ascii") as file:
            digest = file.read()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return digest if _DIGEST.fullmatch(digest) else None
