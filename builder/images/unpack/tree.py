"""The tree of an image in memory, while layers are applied to it.

Paths are resolved here and never on the disk, so that no symlink of an image leads out of it.
"""

from __future__ import annotations

import os
import posixpath
import stat
from typing import TYPE_CHECKING

from slimtrace.builder.images.unpack.pax import MalformedHeader
from slimtrace.builder.images.unpack.tar_reader import PATH_MAX
from slimtrace.builder.root.layer_index import LayerIndex, LayerNode
from slimtrace.tracer.path_resolution import LinkTarget, walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slimtrace.builder.images.unpack.limits import UnpackLimits

Xattrs = tuple[tuple[str, bytes], ...]


class Inode:
    """A file with one or more names; the fields are those of :class:`LayerNode`."""

    __slots__ = ("gid", "mode", "mtime_ns", "size", "target", "uid", "xattrs")

    def __init__(
        self,
        mode: int,
        uid: int,
        gid: int,
        mtime_ns: int,
        size: int = 0,
        target: str = "",
        xattrs: Xattrs = (),
    ) -> None:
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.mtime_ns = mtime_ns
        self.size = size
        self.target = target
        self.xattrs = xattrs


class LayerDirectory(Inode):
    """A directory.

    :ivar path: as in :class:`LayerIndex`.
    :ivar above: the parent directory; the root's is the root.
    """

    __slots__ = ("above", "names", "path")

    def __init__(self, above: LayerDirectory | None, path: str) -> None:
        super().__init__(stat.S_IFDIR | 0o755, 0, 0, 0)
        self.above = above or self
        self.path = path
        self.names: dict[str, Inode] = {}

    def path_of(self, name: str) -> str:
        """The path of a name in this directory.

        :raises MalformedHeader: it is too long for the kernel.
        """
        path = f"{self.path}/{name}" if self.path else name
        if len(path) * 4 >= PATH_MAX and len(os.fsencode(path)) >= PATH_MAX:
            raise MalformedHeader(f"its path is longer than {PATH_MAX - 1} bytes")
        return path


class LayerTree:
    """All names in the tree.

    :param made: called for each directory that an entry needs and no layer contains.
    :param removed: called for each name that is removed, with its inode; for the names in a
        directory before the directory.
    """

    def __init__(
        self,
        budget: UnpackLimits,
        made: Callable[[str], None],
        removed: Callable[[str, Inode], None],
    ) -> None:
        self.root = LayerDirectory(None, "")
        self._budget = budget
        self._made = made
        self._removed = removed
        self._last = ("", self.root)
        # Of the current layer: its names, and the directories that contain only those.
        self._fresh: dict[LayerDirectory, set[str]] = {}
        self._cleared: set[LayerDirectory] = set()

    def next_layer(self) -> None:
        """Begin the next layer: it can hide all names that exist now."""
        self._fresh.clear()
        self._cleared.clear()

    def parent(self, path: str) -> LayerDirectory:
        """Find the directory at ``path``, following symlinks; make it if it is missing (layer.md).

        :raises MalformedHeader: a parent is not a directory, or symlinks loop.
        """
        return self._walk(path, self._make)

    def find(self, path: str) -> LayerDirectory | None:
        """Find the directory at ``path``, following symlinks; None if it does not exist.

        :raises MalformedHeader: a parent is not a directory, or symlinks loop.
        """
        try:
            return self._walk(path, _raise_missing)
        except FileNotFoundError:
            return None

    def put(self, folder: LayerDirectory, name: str, inode: Inode) -> None:
        """Give ``inode`` a new name."""
        folder.names[name] = inode
        self.keep(folder, name)
        if isinstance(inode, LayerDirectory):
            self._cleared.add(inode)

    def keep(self, folder: LayerDirectory, name: str) -> None:
        """Record that this layer has the name: only later layers can hide it (layer.md)."""
        fresh = self._fresh.get(folder)
        if fresh is None:
            fresh = self._fresh[folder] = set()
        fresh.add(name)

    def remove(self, folder: LayerDirectory, name: str) -> None:
        """Remove a name and everything below it."""
        inode = folder.names[name]
        if isinstance(inode, LayerDirectory):
            for inner in reversed(_list_folders(inode)):
                for child in list(inner.names):
                    self._unlink(inner, child)
        self._unlink(folder, name)

    def hide(self, folder: LayerDirectory, name: str) -> None:
        """Remove what lower layers have at and below a name."""
        inode = folder.names.get(name)
        if inode is None:
            return
        if isinstance(inode, LayerDirectory):
            self.hide_below(inode)
        if not self._stays(folder, name):
            self._unlink(folder, name)

    def hide_below(self, folder: LayerDirectory) -> None:
        """Remove what lower layers have in a directory."""
        folders = _list_folders(folder, self._cleared)
        for inner in reversed(folders):
            for name in list(inner.names):
                if not self._stays(inner, name):
                    self._unlink(inner, name)
        self._cleared.update(folders)

    def folders(self) -> list[LayerDirectory]:
        """All directories, parents first."""
        return _list_folders(self.root)

    def index(self) -> LayerIndex:
        """Make the index of all paths."""
        inodes: dict[Inode, int] = {}
        links: dict[Inode, int] = {}
        named = list(self._named())
        for _, inode in named:
            inodes.setdefault(inode, len(inodes) + 1)
            links[inode] = links.get(inode, 0) + 1
        return LayerIndex(
            {
                path: LayerNode(
                    inode.mode,
                    inode.uid,
                    inode.gid,
                    inode.size,
                    inode.mtime_ns,
                    inode.target,
                    inode.xattrs,
                    inodes[inode],
                    links[inode],
                )
                for path, inode in named
            }
        )

    def _named(self) -> Iterator[tuple[str, Inode]]:
        yield "", self.root
        for folder in self.folders():
            for name, inode in folder.names.items():
                yield folder.path_of(name), inode

    def _stays(self, folder: LayerDirectory, name: str) -> bool:
        inode = folder.names[name]
        if name in self._fresh.get(folder, ()):
            return True
        return isinstance(inode, LayerDirectory) and bool(inode.names)

    def _unlink(self, folder: LayerDirectory, name: str) -> None:
        inode = folder.names.pop(name)
        if isinstance(inode, LayerDirectory) or stat.S_ISLNK(inode.mode):
            self._last = ("", self.root)
        self._removed(folder.path_of(name), inode)

    def _walk(
        self, path: str, absent: Callable[[LayerDirectory, str], LayerDirectory]
    ) -> LayerDirectory:
        if path == self._last[0]:
            return self._last[1]

        def look(folder: LayerDirectory, name: str, _: bool) -> LayerDirectory | LinkTarget:
            inode = folder.names.get(name) or absent(folder, name)
            if isinstance(inode, LayerDirectory):
                return inode
            if not stat.S_ISLNK(inode.mode):
                raise MalformedHeader(f"{folder.path_of(name)!r} on the way is not a directory")
            return LinkTarget(inode.target)

        walked = walk(path, self.root, lambda folder: folder.above, look)
        if walked.rest:
            name = walked.node.path_of(walked.rest[0])
            raise MalformedHeader(f"{name!r} on the way is one symlink too many")
        self._last = (path, walked.node)
        return walked.node

    def _make(self, above: LayerDirectory, name: str) -> LayerDirectory:
        self._budget.spend_entry()
        folder = LayerDirectory(above, above.path_of(name))
        self._made(folder.path)
        self.put(above, name, folder)
        return folder


def split_path(name: str) -> tuple[str, str]:
    """Split an entry's path into directory and name, with ``..`` folded as engines do.

    The root has no name, and ``..`` above it is the root.
    """
    name = name.removeprefix("./")
    if "./" in name or "//" in name or name.startswith("/") or name.endswith((".", "/")):
        name = posixpath.normpath(f"/{name.lstrip('/')}")[1:]
    above, _, last = name.rpartition("/")
    return above, last


def _raise_missing(above: LayerDirectory, name: str) -> LayerDirectory:
    raise FileNotFoundError(above.path_of(name))


def _list_folders(
    top: LayerDirectory, without: set[LayerDirectory] | frozenset[LayerDirectory] = frozenset()
) -> list[LayerDirectory]:
    """``top`` and the directories below it, parents first."""
    found = [] if top in without else [top]
    for folder in found:
        found += [
            inode
            for inode in folder.names.values()
            if isinstance(inode, LayerDirectory) and inode not in without
        ]
    return found
