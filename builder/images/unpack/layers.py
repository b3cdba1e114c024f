"""Applies layers to a tree, one after the other (image-spec layer.md, "Applying Changesets")."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.builder.images.unpack import tar_reader
from slimtrace.builder.images.unpack.disk import Disk
from slimtrace.builder.images.unpack.pax import MalformedHeader
from slimtrace.builder.images.unpack.tree import Inode, LayerDirectory, LayerTree, split_path
from slimtrace.builder.root.xattrs import is_system_xattr
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Generator

    from slimtrace.builder.images.unpack.limits import UnpackLimits
    from slimtrace.builder.images.unpack.tar_reader import TarMember, TarReader
    from slimtrace.builder.root.layer_index import LayerIndex

_WHITEOUT = ".wh."
_OPAQUE_WHITEOUT = ".wh..wh..opq"
_AUFS_PREFIX = ".wh..wh."

_TYPES = {
    tar_reader.FILE: stat.S_IFREG,
    tar_reader.DIRECTORY: stat.S_IFDIR,
    tar_reader.SYMLINK: stat.S_IFLNK,
    tar_reader.FIFO: stat.S_IFIFO,
    tar_reader.CHARACTER: stat.S_IFCHR,
    tar_reader.BLOCK_DEVICE: stat.S_IFBLK,
}


class Unpacker:
    """Unpacks layers into ``place``, an empty directory that no other process changes."""

    def __init__(self, place: str, budget: UnpackLimits) -> None:
        self._budget = budget
        self._disk = Disk(place)
        self._names = LayerTree(budget, self._disk.folder, self._disk.remove)

    def close(self) -> None:
        self._disk.close()

    def layer(self, reader: TarReader, label: str) -> None:
        """Apply the next layer.

        :param label: its name in messages.
        :raises SlimtraceError: it is damaged, cannot be applied, or cannot be written.
        """
        self._names.next_layer()
        for member in reader:
            self._budget.spend_entry()
            with _convert_errors(label, member.name):
                self._apply(member, reader)

    def finish(self) -> LayerIndex:
        """Set owners, modes and times of directories, and return the metadata of all paths.

        :raises SlimtraceError: they cannot be written.
        """
        folders = self._names.folders()
        with _convert_errors("the image", ""):
            self._disk.finish(folders)
        return self._names.index()

    def _apply(self, member: TarMember, reader: TarReader) -> None:
        above, name = split_path(member.name)
        if name.startswith(_WHITEOUT):
            self._hide(above, name)
            return
        if not name:
            if member.type != tar_reader.DIRECTORY:
                raise MalformedHeader("it is the root directory, and not a directory")
            _set_metadata(self._names.root, member)
            return
        folder = self._names.parent(above)
        path = folder.path_of(name)
        if member.type == tar_reader.HARDLINK:
            self._link(folder, name, path, member.target)
            return
        if member.type == tar_reader.DIRECTORY:
            self._folder(folder, name, path, member)
            return
        if name in folder.names:
            self._names.remove(folder, name)
        inode = _make_inode(member)
        self._make(path, inode, member, reader)
        self._names.put(folder, name, inode)

    def _make(self, path: str, inode: Inode, member: TarMember, reader: TarReader) -> None:
        match member.type:
            case tar_reader.FILE:
                if member.sparse is not None:
                    stored = sum(size for _, size in member.sparse.pieces)
                    self._budget.spend_size(member.size - stored)
                self._disk.file(path, inode, reader.pieces(), member.sparse)
            case tar_reader.SYMLINK:
                if not member.target:
                    raise MalformedHeader("it is a symlink to nowhere")
                self._disk.symlink(path, inode)
            case _:
                self._disk.special(path, inode, os.makedev(*member.device))

    def _folder(self, above: LayerDirectory, name: str, path: str, member: TarMember) -> None:
        folder = above.names.get(name)
        if isinstance(folder, LayerDirectory):
            self._names.keep(above, name)
        else:
            if folder is not None:
                self._names.remove(above, name)
            folder = LayerDirectory(above, path)
            self._disk.folder(path)
            self._names.put(above, name, folder)
        _set_metadata(folder, member)

    def _link(self, folder: LayerDirectory, name: str, path: str, target: str) -> None:
        """Make a hard link. Its header repeats the file's owner and mode, which are ignored."""
        above, last = split_path(target)
        source = self._names.find(above)
        inode = source.names.get(last) if source is not None else None
        if source is None or inode is None:
            raise MalformedHeader(f"it is a hard link to {target!r}, which does not exist")
        if isinstance(inode, LayerDirectory):
            raise MalformedHeader(f"it is a hard link to {target!r}, which is a directory")
        if folder.names.get(name) is not inode:
            if name in folder.names:
                self._names.remove(folder, name)
                if source.names.get(last) is not inode:
                    raise MalformedHeader(f"it is a hard link to {target!r}, which it replaces")
            self._disk.link(source.path_of(last), path)
            self._names.put(folder, name, inode)
        self._names.keep(folder, name)

    def _hide(self, above: str, name: str) -> None:
        folder = self._names.find(above)
        if name == _OPAQUE_WHITEOUT:
            if folder is not None:
                self._names.hide_below(folder)
            return
        if name.startswith(_AUFS_PREFIX):
            return
        hidden = name.removeprefix(_WHITEOUT)
        if hidden in {"", ".", ".."}:
            raise MalformedHeader("its whiteout names no file")
        if folder is not None:
            self._names.hide(folder, hidden)


def _make_inode(member: TarMember) -> Inode:
    target = member.target
    if member.type in {tar_reader.CHARACTER, tar_reader.BLOCK_DEVICE}:
        target = "{}:{}".format(*member.device)
    return Inode(
        _TYPES[member.type] | (0o777 if member.type == tar_reader.SYMLINK else member.mode),
        member.uid,
        member.gid,
        member.mtime_ns,
        member.size,
        target,
        _filter_xattrs(member),
    )


def _set_metadata(folder: LayerDirectory, member: TarMember) -> None:
    folder.mode = stat.S_IFDIR | member.mode
    folder.uid = member.uid
    folder.gid = member.gid
    folder.mtime_ns = member.mtime_ns
    folder.xattrs = _filter_xattrs(member)


def _filter_xattrs(member: TarMember) -> tuple[tuple[str, bytes], ...]:
    if not member.xattrs:
        return ()
    return tuple(pair for pair in member.xattrs if not is_system_xattr(pair[0]))


@contextmanager
def _convert_errors(label: str, name: str) -> Generator[None]:
    try:
        yield
    except MalformedHeader as error:
        raise SlimtraceError(
            f"cannot unpack {label}: {name!r}: {error}", "fetch or build the image again"
        ) from error
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        hint = "free some space, or set XDG_CACHE_HOME to a folder on a larger disk"
        about = f"{label}: {name!r}" if name else label
        raise SlimtraceError(
            f"cannot unpack {about}: {error.strerror}", hint if full else None
        ) from error
