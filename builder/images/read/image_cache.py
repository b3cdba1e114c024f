"""Unpacked images, kept by their digests below the user's cache folder.

``images/ALGORITHM/HEX[.OWNERS]`` is one; beside it lie its lock and, while it is made or removed,
``….tmp``. Who uses one holds its lock shared for as long as the process lives; who makes or removes
one holds it alone. flock(2) locks end with the process however it ends, so nothing stays locked.
"""

from __future__ import annotations

import fcntl
import glob
import os
import re
import secrets
import stat
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from slimtrace.builder.images.read.cache_lock import alone, holding, take, take_now
from slimtrace.builder.images.unpack.owners import Owners, owners
from slimtrace.builder.images.write.atomic import removing, temporary_name
from slimtrace.builder.os_errors import failing, reading, writing
from slimtrace.builder.root.layer_index import LayerIndex, load_index
from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.remove_tree import remove_tree

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping
    from contextlib import AbstractContextManager


_held: dict[str, int] = {}
"""Descriptors of the locks of the images in use, by lock file; open until the process ends."""

_PAUSE = 0.05  # seconds between looks at an image that somebody else is making
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_DAMAGED = "remove it with: slimtrace cache --prune"


@dataclass(frozen=True, slots=True)
class UnpackedTree:
    """An image that was unpacked into a new directory."""

    digest: str
    index: LayerIndex
    config: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class CachedImage:
    """An image in the cache, in use by this process.

    :ivar folder: holds ``root`` (the tree), ``index`` and ``image.json``.
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


class CacheEntry(NamedTuple):
    """What the cache says of one image.

    :ivar size: bytes of its regular files.
    :ivar used: when it was last asked for, in seconds since the epoch.
    :ivar sources: the names by which it was asked for.
    """

    digest: str
    owners: str
    size: int
    used: float
    sources: tuple[str, ...]
    folder: str


class PruneResult(NamedTuple):
    """Folders of images that are gone, and of those that are in use."""

    removed: list[str]
    in_use: list[str]


def cache_folder() -> str:
    """``$XDG_CACHE_HOME/slimtrace``; a relative one counts as none (basedir-spec)."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, "slimtrace")


def find(digest: str, source: str) -> CachedImage | None:
    """The image with that digest, held from now on; None where the cache has none.

    :param source: the name that it is now known by, too.
    :raises SlimtraceError: it cannot be read.
    """
    place = _place(digest)
    lock = f"{place}.lock"
    if not os.path.isdir(place):
        return None
    with writing(lock):
        if lock not in _held:
            fd = take(lock, fcntl.LOCK_SH)
            if not _is_whole(place):
                os.close(fd)
                return None
            _held[lock] = fd
        os.utime(lock)
    return _read(place, source)


def keep(digest: str, source: str, make: Callable[[str], UnpackedTree]) -> CachedImage:
    """The image with that digest, made where it is missing: once, however many ask at a time.

    :param make: unpacks it into an empty directory.
    :raises SlimtraceError: what ``make`` raises, or the cache cannot be written.
    """
    waits = False
    while True:
        kept = find(digest, source)
        if kept is not None:
            return kept
        place = _place(digest)
        with writing(place):
            _make_folders(os.path.dirname(place))
            fd = take_now(f"{place}.lock")
            if fd is None:
                if not waits:
                    say(f"waiting for another slimtrace, which unpacks {source} or still uses it")
                waits = True
                time.sleep(_PAUSE)
                continue
            with holding(place, fd):
                if not _is_whole(place):
                    remove_tree(place)
                    with _making(f"{place}.tmp") as folder:
                        _fill(folder, source, make)
                        os.rename(folder, place)


def keep_file(path: str, source: str, make: Callable[[str], UnpackedTree]) -> CachedImage:
    """The image that a file holds, which is read only when it is not the one it was.

    The file is known again by its device, inode, size and times.

    :param make: unpacks it into an empty directory.
    :raises SlimtraceError: what ``make`` raises, or the cache cannot be written.
    """
    while True:
        with reading(path):
            note = os.path.join(cache_folder(), "files", _identity(path))
        with writing(note):
            _make_folders(os.path.dirname(note))
            with alone(note):
                known = _noted(note)
                kept = find(known, source) if known is not None else None
                if kept is not None:
                    return kept
                with _making(f"{note}.tmp") as folder:
                    digest = _fill(folder, source, make)
                    with reading(path):
                        if not note.endswith(_identity(path)):
                            raise SlimtraceError(
                                f"cannot read {path}: it was changed meanwhile", "try again"
                            )
                    _adopt(folder, _place(digest))
                _write(note, digest.encode())


@contextmanager
def scratch() -> Generator[str]:
    """A new folder in the cache, for as long as the block lasts."""
    place = os.path.join(cache_folder(), "scratch", secrets.token_hex(8))
    with writing(place):
        _make_folders(os.path.dirname(place))
    with alone(place), _making(f"{place}.tmp") as folder:
        yield folder


def listing() -> list[CacheEntry]:
    """The images in the cache, the one that was used last first."""
    found = []
    for place in _places("images/*/*"):
        try:
            with open(os.path.join(place, "image.json"), "rb") as file:
                told = orjson.loads(file.read())
            used = os.stat(f"{place}.lock").st_mtime
            mode = place.rpartition("/")[2].partition(".")[2]
            sources = tuple(map(str, told["sources"]))
            found.append(CacheEntry(told["digest"], mode, told["size"], used, sources, place))
        except (OSError, ValueError, KeyError, TypeError):  # being made or removed
            continue
    return sorted(found, key=lambda image: -image.used)


def prune() -> PruneResult:
    """Remove all images that no process uses, and what killed ones left.

    :raises SlimtraceError: one cannot be removed.
    """
    removed: list[str] = []
    used: list[str] = []
    for lock in _places("*/*.lock", "images/*/*.lock"):
        place = lock.removesuffix(".lock")
        is_image = os.path.isdir(place)
        gone = _remove(lock, place)
        if is_image:
            (removed if gone else used).append(place)
    return PruneResult(removed, used)


def forget(digest: str) -> None:
    """Remove an image that this process used, unless another uses it.

    :raises SlimtraceError: it cannot be removed.
    """
    place = _place(digest)
    lock = f"{place}.lock"
    fd = _held.pop(lock, None)
    if fd is not None:
        os.close(fd)
        _remove(lock, place)


def _remove(lock: str, place: str) -> bool:
    """Remove an image or a file of the cache; whether nobody used it."""
    with _removing(place):
        fd = take_now(lock)
        if fd is None:
            return False
        try:
            remove_tree(f"{place}.tmp")
            if os.path.isdir(place):
                os.rename(place, f"{place}.tmp")  # what is left by a kill is no image
                remove_tree(f"{place}.tmp")
            elif os.path.exists(place):
                os.unlink(place)
            os.unlink(lock)
        finally:
            os.close(fd)
    return True


def _removing(place: str) -> AbstractContextManager[None]:
    mapped = place.endswith(f".{Owners.MAPPED}") and os.geteuid() != 0
    hint = "its files are subordinate users': run podman unshare rm -r on it" if mapped else None
    return failing(f"remove {place}", hint)


def _fill(folder: str, source: str, make: Callable[[str], UnpackedTree]) -> str:
    root = os.path.join(folder, "root")
    os.mkdir(root, 0o700)
    made = make(root)
    made.index.save(os.path.join(folder, "index"))
    told = {
        "digest": made.digest,
        "config": made.config,
        "size": made.index.totals().size,
        "sources": [source],
        "boot": _boot(),
    }
    _write(os.path.join(folder, "image.json"), orjson.dumps(told))
    return made.digest


def _is_whole(place: str) -> bool:
    """Whether an image is there, all of it.

    Nothing is synced when one is made: that would wait for whatever else the system has to write.
    A crash may have cost files their ends then, which is looked for once after each boot.
    """
    path = os.path.join(place, "image.json")
    try:
        with open(path, "rb") as file:
            told = orjson.loads(file.read())
        if told["boot"] == _boot():
            return True
        index = load_index(os.path.join(place, "index"))
        for name in index.paths():
            node = index.get(name)
            if node is not None and stat.S_ISREG(node.mode):
                there = os.lstat(os.path.join(place, "root", name))
                if there.st_size != node.size:
                    return False
        _write(path, orjson.dumps({**told, "boot": _boot()}))
    except (OSError, ValueError, KeyError, TypeError, SlimtraceError):
        return False
    return True


def _boot() -> str:
    """What random(4) calls this boot of the system."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        return file.read().strip()


def _write(path: str, data: bytes) -> None:
    """Replace a file, which is whole or the old one unless the system crashes."""
    beside = temporary_name(path)
    with removing(beside):
        with open(beside, "xb") as file:
            file.write(data)
        os.rename(beside, path)


def _adopt(folder: str, place: str) -> None:
    _make_folders(os.path.dirname(place))
    while not _is_whole(place):
        fd = take_now(f"{place}.lock")
        if fd is None:
            time.sleep(_PAUSE)
            continue
        with holding(place, fd):
            if not _is_whole(place):
                remove_tree(place)
                os.rename(folder, place)


def _read(place: str, source: str) -> CachedImage:
    path = os.path.join(place, "image.json")
    try:
        with open(path, "rb") as file:
            told = orjson.loads(file.read())
        digest, sources, config = told["digest"], told["sources"], told["config"]
    except OSError as error:
        raise SlimtraceError(f"cannot read {path}: {error.strerror}", _DAMAGED) from error
    except (ValueError, KeyError, TypeError) as error:
        raise SlimtraceError(f"cannot read {path}: it is damaged", _DAMAGED) from error
    if source not in sources:
        _write(path, orjson.dumps({**told, "sources": [*sources, source]}))
    return CachedImage(digest, place, config)


def _place(digest: str) -> str:
    algorithm, _, value = digest.partition(":")
    mode = owners()
    name = f"{value}.{mode}" if mode else value
    return os.path.join(cache_folder(), "images", algorithm, name)


def _places(*patterns: str) -> list[str]:
    """Images, or files of the cache, whose names match."""
    top = glob.escape(cache_folder())
    found = [path for each in patterns for path in sorted(glob.glob(os.path.join(top, each)))]
    return [path for path in found if not path.endswith(".tmp")]


def _identity(path: str) -> str:
    status = os.stat(path)
    parts = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return "-".join(map(str, (*parts, owners() or "kept")))


def _noted(note: str) -> str | None:
    try:
        with open(note, encoding="ascii") as file:
            digest = file.read()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return digest if _DIGEST.fullmatch(digest) else None


def _make_folders(folder: str) -> None:
    """Nobody else may look in: an image may hold setuid programs of an old day."""
    os.makedirs(os.path.dirname(cache_folder()), exist_ok=True)
    for place in (cache_folder(), folder):
        os.makedirs(place, 0o700, exist_ok=True)


@contextmanager
def _making(folder: str) -> Generator[str]:
    """A new folder, in the place of one that a killed process left; gone when the block ends.

    Unless it has another name by then.
    """
    remove_tree(folder)
    os.mkdir(folder, 0o700)
    try:
        yield folder
    finally:
        remove_tree(folder)
