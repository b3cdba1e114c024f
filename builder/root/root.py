"""Reads the full image: every symlink is resolved inside its root.

Nothing else in the builder opens a file of the full image. The tree must not change while it is
read: each component of a path is checked with lstat(2) before the next one is looked up.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from slimtrace.builder.model import Entry, Kind
from slimtrace.builder.root.host_root import HostNode, HostTree, Totals
from slimtrace.builder.root.xattrs import read_xattrs
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.path_resolution import LinkTarget, parent_path, walk
from slimtrace.tracer.trace.trace import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.builder.model import Cause
    from slimtrace.tracer.trace.trace import SavedFile

_KINDS = {
    stat.S_IFREG: Kind.FILE,
    stat.S_IFDIR: Kind.DIRECTORY,
    stat.S_IFLNK: Kind.SYMLINK,
    stat.S_IFIFO: Kind.FIFO,
}
_OPEN_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_NAMES = frozenset({"", ".", ".."})
_GONE_DIRECTORY = Fingerprint(stat.S_IFDIR | 0o755, 0, 0, 0, 0)


class ResolvedPath(NamedTuple):
    """The result of a path lookup in the root.

    :ivar path: the file's own path, without symlinks; if the lookup fails, the rest of the path is
        unchanged.
    :ivar links: own paths of the symlinks that were followed, in order.
    :ivar exists: whether there is a file, which the caller may reach.
    """

    path: str
    links: tuple[str, ...]
    exists: bool


class FileTree(Protocol):
    """The source of the full image's metadata: a file system, or the image's layers.

    Paths are absolute; their parents contain no symlink.
    """

    def node(self, path: str) -> HostNode | None:
        """The file at a path; None if there is none."""

    def target(self, path: str) -> str:
        """The target of the symlink at a path, as written."""

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        """Extended attributes, sorted by name."""

    def names(self, path: str) -> Iterable[str]:
        """The names in a directory."""

    def totals(self) -> Totals:
        """Number and size of the regular files."""


class Root:
    """A root directory, with paths as the kernel resolves them after chroot(2).

    :param root: ``/`` or the directory with an unpacked image.
    :param tree: the source of metadata; None for the directory itself.
    :param saved: copies that the run saved, by own path: they replace the files that changed or are
        gone, and their parent directories exist.
    :raises SlimtraceError: ``root`` is not a directory.

    :ivar is_pristine: whether no file can have changed since the image was made.
    """

    def __init__(
        self, root: str, saved: Mapping[str, SavedFile] | None = None, tree: FileTree | None = None
    ) -> None:
        self.root = os.path.realpath(root)
        if not os.path.isdir(self.root):
            raise SlimtraceError(f"cannot read the full image {root}: it is not a directory")
        self._prefix = self.root.rstrip("/")
        self._tree: FileTree = HostTree(self.root) if tree is None else tree
        self.is_pristine = tree is not None
        self._saved = dict(saved or {})
        self._saved_parents = {parent for path in self._saved for parent in list_parents(path)}
        self._nodes: dict[str, HostNode | None] = {}
        self._targets: dict[str, str] = {}
        self._plain: set[str] = set()
        """Own paths of directories that lookups went through: no symlink is in them."""

    def resolve(self, path: str, *, follow: bool = True) -> ResolvedPath:
        """Look up ``path`` as path_resolution(7) describes; ``..`` of the root is the root.

        A file that cannot be reached (ENOENT, ENOTDIR, EACCES, ELOOP) does not exist.

        :param follow: whether to follow a symlink as the last component (as stat(2) does).
        """
        above, _, last = path.rpartition("/")
        if path.startswith("/") and above in self._plain and last not in _NO_NAMES:
            node = self._node(path)
            if node is None:
                return ResolvedPath(path, (), exists=False)
            if not (follow and stat.S_ISLNK(node.fingerprint.mode)):
                return ResolvedPath(path, (), exists=True)
        return self._walk(path, follow=follow)

    def _walk(self, path: str, *, follow: bool) -> ResolvedPath:
        """Look up a path component by component."""

        def look(directory: str, name: str, is_last: bool) -> str | LinkTarget | None:
            step = f"{directory}/{name}"
            node = self._node(step)
            kind = 0 if node is None else stat.S_IFMT(node.fingerprint.mode)
            if kind == stat.S_IFLNK and (follow or not is_last):
                return LinkTarget(self.readlink(step))
            is_end = kind == 0 or not (is_last or kind == stat.S_IFDIR)
            return None if is_end else step

        walked = walk(path, "", parent_path, look)
        own = "/".join([walked.node, *walked.rest]) or "/"
        links = tuple(f"{directory}/{name}" for directory, name in walked.links)
        if own == path and not walked.rest:
            self._plain.add(path.rpartition("/")[0])
        return ResolvedPath(own, links, exists=not walked.rest)

    def fingerprint(self, path: str) -> Fingerprint | None:
        """The fingerprint of a resolved path (lstat(2)); None if there is no file."""
        node = self._node(path)
        return None if node is None else node.fingerprint

    def kind(self, path: str) -> Kind | None:
        """The kind of a resolved path in an image; None for sockets, devices and no file."""
        fingerprint = self.fingerprint(path)
        return None if fingerprint is None else _KINDS.get(stat.S_IFMT(fingerprint.mode))

    def is_executable(self, path: str) -> bool:
        """Whether somebody may execute the file at a resolved path; no if there is none."""
        node = self._node(path)
        return node is not None and bool(node.fingerprint.mode & 0o111)

    def is_saved(self, path: str) -> bool:
        """Whether the run saved a copy of the file at a resolved path."""
        return path in self._saved

    def entry(self, path: str, causes: tuple[Cause, ...]) -> Entry:
        """Make the entry for a resolved path, with its metadata.

        :raises SlimtraceError: there is no file, or it is a socket or a device.
        """
        node = self._node(path)
        kind = self.kind(path)
        if node is None or kind is None:
            cause = "it is gone" if node is None else "it is a socket or a device"
            raise SlimtraceError(f"cannot keep {path}: {cause}")
        mode, uid, gid, size, mtime_ns = node.fingerprint
        source = self._source(path)
        is_file = kind is Kind.FILE
        return Entry(
            path,
            kind,
            stat.S_IMODE(mode),
            uid,
            gid,
            mtime_ns,
            size=size if is_file else 0,
            target=self.readlink(path) if kind is Kind.SYMLINK else "",
            source=source if is_file else None,
            xattrs=read_xattrs(source) if self.is_saved(path) else self._tree.xattrs(path),
            hardlink=node.inode if kind is not Kind.DIRECTORY and node.links > 1 else None,
            causes=causes,
        )

    def open(self, path: str) -> BinaryIO:
        """Open the regular file at a resolved path.

        :raises SlimtraceError: it cannot be opened, or is not a regular file.
        """
        if self.kind(path) is not Kind.FILE:
            raise SlimtraceError(f"cannot read {path}: it is not a regular file")
        try:
            # _OPEN_FLAGS has O_NONBLOCK: a FIFO that replaced a saved copy would block open(2).
            fd = os.open(self._source(path), _OPEN_FLAGS)
        except OSError as error:
            raise SlimtraceError(
                f"cannot read {path}: {error.strerror}",
                "build as the user who traced the app, or as root",
            ) from error
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise SlimtraceError(f"cannot read {path}: its copy is not a regular file")
        return open(fd, "rb")

    def head(self, path: str, size: int) -> bytes:
        """Read up to ``size`` bytes from the start of the regular file at a resolved path.

        :raises SlimtraceError: as :meth:`open`.
        """
        with self.open(path) as file:
            return file.read(size)

    def text(self, path: str, most: int) -> str:
        """Read up to ``most`` bytes of the regular file at ``path``; "" if there is none.

        Symlinks are followed. The text is decoded as by :func:`os.fsdecode`, so that paths in it
        can be looked up.

        :raises SlimtraceError: the file exists and cannot be read.
        """
        found = self.resolve(path)
        if not found.exists or self.kind(found.path) is not Kind.FILE:
            return ""
        return self.head(found.path, most).decode("utf-8", "surrogateescape")

    def listdir(self, path: str) -> list[str]:
        """Names in the directory at a resolved path, sorted; none if it cannot be read."""
        names = set(self._tree.names(path))
        if path in self._saved_parents:
            prefix = path.rstrip("/") + "/"
            saved = [*self._saved, *self._saved_parents]
            below = (name[len(prefix) :] for name in saved if name.startswith(prefix))
            names.update(name.partition("/")[0] for name in below if name)
        return sorted(names)

    def readlink(self, path: str) -> str:
        """The target of the symlink at a resolved path, as written."""
        target = self._targets.get(path)
        if target is None:
            target = self._targets[path] = self._tree.target(path)
        return target

    def totals(self) -> Totals:
        """Number and size of the regular files, without other mounts and kernel file systems."""
        return self._tree.totals()

    def _source(self, path: str) -> str:
        saved = self._saved.get(path)
        return (self._prefix + path) if saved is None else saved.blob

    def _node(self, path: str) -> HostNode | None:
        try:
            return self._nodes[path]
        except KeyError:
            node = self._nodes[path] = self._look(path)
            return node

    def _look(self, path: str) -> HostNode | None:
        saved = self._saved.get(path)
        if saved is not None:
            return HostNode(saved.fingerprint, (0, 0), 1)
        node = self._tree.node(path)
        if path in self._saved_parents and (
            node is None or not stat.S_ISDIR(node.fingerprint.mode)
        ):
            return HostNode(_GONE_DIRECTORY, (0, 0), 1)
        return node


def list_parents(path: str) -> list[str]:
    """The parent directories of an own path, ``/`` first; none of ``/``."""
    names = path.split("/")[1:-1] if path != "/" else []
    above = ["/"] if path != "/" else []
    for name in names:
        above.append(f"{above[-1].rstrip('/')}/{name}")
    return above
