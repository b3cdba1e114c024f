"""The metadata of each path in an image's layers, whichever user unpacked them."""

from __future__ import annotations

import base64
import os
import stat
from typing import TYPE_CHECKING, NamedTuple

import orjson

from slimtrace.builder.os_errors import convert_write_errors
from slimtrace.builder.root.host_root import Totals
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_VERSION = b'{"index":1}\n'
_LINES_PER_PARSE = 4096


class LayerNode(NamedTuple):
    """The file at one path.

    :ivar mode: st_mode (inode(7)), including the file type.
    :ivar size: bytes of a regular file, else 0.
    :ivar target: of a symlink; ``MAJOR:MINOR`` of a device.
    :ivar xattrs: sorted by name.
    :ivar inode: the same for all names of a file.
    :ivar links: the number of its names; 1 for directories.
    """

    mode: int
    uid: int
    gid: int
    size: int
    mtime_ns: int
    target: str
    xattrs: tuple[tuple[str, bytes], ...]
    inode: int
    links: int


class LayerIndex:
    """Nodes by path: relative to the image's root, without a slash at either end.

    The root itself is the empty path. Methods take absolute paths as well.
    """

    def __init__(self, nodes: Mapping[str, LayerNode]) -> None:
        self._nodes = dict(nodes)
        self._children: dict[str, list[str]] | None = None

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, path: str) -> LayerNode | None:
        """The node at ``path``, without following symlinks; None if there is none."""
        return self._nodes.get(path.strip("/"))

    def paths(self) -> Iterator[str]:
        """Every path, parents first."""
        return iter(self._nodes)

    def children(self, path: str) -> list[str]:
        """Names in the directory at ``path``, sorted; none if it does not exist."""
        if self._children is None:
            self._children = {}
            for child in self._nodes:
                above, _, name = child.rpartition("/")
                if child:
                    self._children.setdefault(above, []).append(name)
            for names in self._children.values():
                names.sort()
        return list(self._children.get(path.strip("/"), ()))

    def totals(self) -> Totals:
        """Number and size of its regular files."""
        files = size = 0
        seen: set[int] = set()
        for node in self._nodes.values():
            if not stat.S_ISREG(node.mode):
                continue
            files += 1
            if node.inode not in seen:
                seen.add(node.inode)
                size += node.size
        return Totals(files, size)

    def save(self, path: str) -> None:
        """Write the index to a new file, one node a line.

        :raises SlimtraceError: it cannot be written.
        """
        with convert_write_errors(path), open(path, "xb") as file:
            file.write(_VERSION)
            lines = (orjson.dumps(_make_line(*item), option=_LINE) for item in self._nodes.items())
            file.writelines(lines)


_LINE = orjson.OPT_APPEND_NEWLINE


def load_index(path: str) -> LayerIndex:
    """Read an index that :meth:`LayerIndex.save` wrote.

    :raises SlimtraceError: it cannot be read, or is damaged.
    """
    try:
        with open(path, "rb") as file:
            return LayerIndex(dict(_parse_nodes(file.readlines())))
    except OSError as error:
        raise SlimtraceError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError) as error:
        raise SlimtraceError(
            f"cannot read {path}: it is damaged", "remove it with: slimtrace cache --prune"
        ) from error


def _parse_nodes(lines: list[bytes]) -> Iterable[tuple[str, LayerNode]]:
    if len(lines) < 2 or lines[0] != _VERSION:
        raise ValueError
    for at in range(1, len(lines), _LINES_PER_PARSE):
        for fields in orjson.loads(b"[" + b",".join(lines[at : at + _LINES_PER_PARSE]) + b"]"):
            path, mode, uid, gid, size, mtime_ns, target, xattrs, inode, links = fields
            if type(path) is not str:
                path = _decode_base64(path)
            if type(target) is not str:
                target = _decode_base64(target)
            pairs = tuple((_decode_name(name), base64.b64decode(value)) for name, value in xattrs)
            yield path, LayerNode(mode, uid, gid, size, mtime_ns, target, pairs, inode, links)


def _make_line(path: str, node: LayerNode) -> list[object]:
    """The fields of a node's line; text that is not UTF-8 is base64 in a list."""
    mode, uid, gid, size, mtime_ns, target, xattrs, inode, links = node
    pairs = [(_encode_text(name), base64.b64encode(value).decode()) for name, value in xattrs]
    return [
        _encode_text(path),
        mode,
        uid,
        gid,
        size,
        mtime_ns,
        _encode_text(target),
        pairs,
        inode,
        links,
    ]


def _encode_text(text: str) -> str | list[str]:
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return [base64.b64encode(os.fsencode(text)).decode()]
    return text


def _decode_base64(field: list[str]) -> str:
    return os.fsdecode(base64.b64decode(field[0]))


def _decode_name(field: str | list[str]) -> str:
    return field if isinstance(field, str) else _decode_base64(field)
