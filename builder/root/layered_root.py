"""A full image as its layers describe it: with owners, modes, times and attributes as packed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.root.host_root import HostNode, Totals
from slimtrace.tracer.trace.trace import Fingerprint

if TYPE_CHECKING:
    from slimtrace.builder.root.layer_index import LayerIndex


class LayeredTree:
    """Implements :class:`slimtrace.builder.root.root.FileTree`."""

    def __init__(self, index: LayerIndex) -> None:
        self._index = index

    def node(self, path: str) -> HostNode | None:
        found = self._index.get(path)
        if found is None:
            return None
        print_ = Fingerprint(found.mode, found.uid, found.gid, found.size, found.mtime_ns)
        return HostNode(print_, (0, found.inode), found.links)

    def target(self, path: str) -> str:
        found = self._index.get(path)
        return "" if found is None else found.target

    def xattrs(self, path: str) -> tuple[tuple[str, bytes], ...]:
        found = self._index.get(path)
        return () if found is None else found.xattrs

    def names(self, path: str) -> list[str]:
        return self._index.children(path)

    def totals(self) -> Totals:
        return self._index.totals()
