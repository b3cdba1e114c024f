"""Faults that are planted to see that the harnesses find them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from slimtrace.builder.images.read import document_parser
from slimtrace.builder.images.unpack import layers
from slimtrace.builder.images.unpack.disk import Disk
from slimtrace.builder.images.unpack.tree import LayerDirectory
from slimtrace.builder.root.root import Root

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.builder.images.unpack.tree import Inode


def _an_exception() -> None:
    """An owner of more than 24 bits is more than was thought of."""
    kept = layers._filter_xattrs

    def planted(member: Any) -> Any:
        if member.uid == 0o777:
            raise IndexError
        return kept(member)

    layers._filter_xattrs = planted


def _a_way_out() -> None:
    """``..`` at the end of a folder's path leads where it says."""
    path_of = LayerDirectory.path_of

    def planted(self: LayerDirectory, name: str) -> str:
        return "../outside/new" if name == "x" else path_of(self, name)

    LayerDirectory.path_of = planted  # type: ignore[method-assign]


def _another_mode() -> None:
    """What all may write is not so on disk."""
    mode = Disk._mode

    def planted(self: Disk, inode: Inode, owned: bool) -> int:
        found = mode(self, inode, owned)
        return found & ~0o2

    Disk._mode = planted  # type: ignore[method-assign]


def _a_number_for_a_name() -> None:
    """An annotation's value is taken for a string."""
    descriptor = document_parser._descriptor

    def planted(found: object, label: str) -> document_parser.Descriptor:
        if isinstance(found, dict) and isinstance(found.get("platform"), list):
            raise AttributeError(found)  # noqa: TRY004 -- what a bug would be
        return descriptor(found, label)

    document_parser._descriptor = planted


def _a_link_followed() -> None:
    """A symlink of the full image is read as this machine's."""
    resolve = Root.resolve

    def planted(self: Root, path: str, *, follow: bool = True) -> Any:
        if path.endswith("/.."):
            os.stat(self.root + "/out")
        return resolve(self, path, follow=follow)

    Root.resolve = planted  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "exception": _an_exception,
    "out": _a_way_out,
    "mode": _another_mode,
    "platform": _a_number_for_a_name,
    "link": _a_link_followed,
}
