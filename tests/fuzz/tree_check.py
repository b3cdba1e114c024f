"""Comparison of a tree on disk with its index."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from slimtrace.builder.images.unpack.owners import Owners, find_owners

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.root.layer_index import LayerIndex, LayerNode

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_TIMES = range(-(1 << 31) * 10**9, (1 << 31) * 10**9)  # the range of ext4 with small inodes


def check_tree(root: str, index: LayerIndex) -> None:
    """:raises AssertionError: tree and index differ."""
    top = os.open(root, _FOLDER)
    try:
        remaining = set(_walk(top))
        inodes: dict[int, int] = {}
        for path in index.paths():
            node = index.get(path)
            assert node is not None
            if path not in remaining:
                assert stat.S_ISCHR(node.mode) or stat.S_ISBLK(node.mode), f"{path!r} is missing"
                continue
            remaining.discard(path)
            status = os.stat(path or ".", dir_fd=top, follow_symlinks=False)
            differences = _find_differences(path, node, status, top)
            assert not differences, f"{path!r}: {differences}, {node}, {status}"
            assert inodes.setdefault(node.inode, status.st_ino) == status.st_ino, path
        assert not remaining, f"not in the index: {remaining}"
        assert len(set(inodes.values())) == len(inodes)
    finally:
        os.close(top)


def _find_differences(path: str, node: LayerNode, status: os.stat_result, top: int) -> list[str]:
    differences = []
    kind = stat.S_IFMT(node.mode)
    if kind != stat.S_IFMT(status.st_mode):
        return ["type"]
    if kind == stat.S_IFREG and node.size != status.st_size:
        differences.append("size")
    if kind == stat.S_IFLNK and os.readlink(path, dir_fd=top) != node.target:
        differences.append("target")
    if kind != stat.S_IFDIR and node.links != status.st_nlink:
        differences.append("links")
    owned = (node.uid, node.gid) == (status.st_uid, status.st_gid)
    if find_owners() is Owners.KEPT and not owned:
        differences.append("owner")
    if kind != stat.S_IFLNK and stat.S_IMODE(status.st_mode) != _expected_mode(node, owned=owned):
        differences.append("mode")
    if node.mtime_ns in _TIMES and node.mtime_ns != status.st_mtime_ns:
        differences.append("mtime")
    if kind in {stat.S_IFREG, stat.S_IFDIR} and not _read_xattrs(path, top) <= set(node.xattrs):
        differences.append("xattrs")
    return differences


def _expected_mode(node: LayerNode, *, owned: bool) -> int:
    mode = node.mode & (0o7777 if owned else 0o1777)
    if find_owners() is Owners.OWN:
        mode |= 0o700 if stat.S_ISDIR(node.mode) else 0o400
    return mode


def _read_xattrs(path: str, top: int) -> set[tuple[str, bytes]]:
    """Read xattrs, without ACLs, which chmod(2) changes."""
    where = f"/proc/self/fd/{top}/{path}"
    try:
        names = os.listxattr(where)
    except OSError:  # the path is too long with its prefix
        return set()
    names = [name for name in names if not name.startswith("system.")]
    return {(name, os.getxattr(where, name)) for name in names}


def _walk(top: int) -> Iterator[str]:
    folders = [""]
    while folders:
        above = folders.pop()
        yield above
        fd = os.open(above or ".", _FOLDER, dir_fd=top)
        try:
            with os.scandir(fd) as children:
                for child in children:
                    path = f"{above}/{child.name}" if above else child.name
                    if child.is_dir(follow_symlinks=False):
                        folders.append(path)
                    else:
                        yield path
        finally:
            os.close(fd)
