"""All entries of an unpacked tree: their lstat(2) values, xattrs and content."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Entry(NamedTuple):
    """One entry; ``names`` are all paths of a file that has hard links."""

    mode: str
    owner: tuple[int, int]
    mtime: int
    size: int
    content: str
    target: str
    xattrs: tuple[tuple[str, bytes], ...]
    names: tuple[bytes, ...]


def read_entries(top: Path) -> dict[bytes, Entry]:
    """Return the entries by path below ``top``."""
    statuses = {path: os.lstat(os.fsencode(top) + b"/" + path) for path in _walk(os.fsencode(top))}
    links: dict[tuple[int, int], list[bytes]] = {}
    for path, status in statuses.items():
        if status.st_nlink > 1 and not stat.S_ISDIR(status.st_mode):
            links.setdefault((status.st_dev, status.st_ino), []).append(path)
    return {
        path: _entry(os.fsencode(top) + b"/" + path, status, links)
        for path, status in statuses.items()
    }


def find_difference(slim: dict[bytes, Entry], full: dict[bytes, Entry]) -> str | None:
    """Describe the first entry of the slim tree that differs from the full one, or return None."""
    for path, entry in sorted(slim.items()):
        other = full.get(path)
        if other is None:
            return f"{path!r} is not in the full image"
        # A hard link that was left out is no difference.
        names = tuple(name for name in other.names if name in slim)
        other = other._replace(names=names if len(names) > 1 else ())
        for field, one, two in zip(Entry._fields, entry, other, strict=True):
            if one != two:
                return f"{path!r}: {field} is {one!r}, in the full image {two!r}"
    return None


def _walk(top: bytes) -> Iterator[bytes]:
    folders = [b""]
    while folders:
        folder = folders.pop()
        with os.scandir(os.path.join(top, folder) or top) as children:
            for child in children:
                path = os.path.join(folder, child.name)
                yield path
                if child.is_dir(follow_symlinks=False):
                    folders.append(path)


def _entry(path: bytes, status: os.stat_result, links: dict[tuple[int, int], list[bytes]]) -> Entry:
    is_file, is_link = stat.S_ISREG(status.st_mode), stat.S_ISLNK(status.st_mode)
    content = ""
    if is_file:
        with open(path, "rb") as file:
            content = hashlib.sha256(file.read()).hexdigest()
    xattrs = [
        (name, os.getxattr(path, name, follow_symlinks=False))
        for name in sorted(os.listxattr(path, follow_symlinks=False))
        if name != "user.rootlesscontainers"  # umoci stores owners in it
    ]
    return Entry(
        stat.filemode(status.st_mode),
        (status.st_uid, status.st_gid),
        int(status.st_mtime),
        status.st_size if is_file else 0,
        content,
        os.fsdecode(os.readlink(path)) if is_link else "",
        tuple(xattrs),
        tuple(sorted(links.get((status.st_dev, status.st_ino), ()))),
    )
