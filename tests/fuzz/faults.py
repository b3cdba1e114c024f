"""Faults that are planted to see that the harnesses find them."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from slimtrace.builder.images.read import document_parser
from slimtrace.builder.images.unpack import layers
from slimtrace.builder.images.unpack.disk import Disk
from slimtrace.builder.images.unpack.tree import LayerDirectory
from slimtrace.tracer.trace.reader import _TraceBuilder

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


def _a_value_for_an_object() -> None:
    """A descriptor's platform is taken for an object, whatever it is."""
    descriptor = document_parser._descriptor

    def planted(found: object, label: str) -> document_parser.Descriptor:
        if isinstance(found, dict) and not isinstance(found.get("platform", {}), dict):
            raise AttributeError(found)  # noqa: TRY004 -- what a bug would be
        return descriptor(found, label)

    document_parser._descriptor = planted


def _a_look_at_this_machine() -> None:
    """Where a run never ended, its working directory is looked for on this machine."""
    close_run = _TraceBuilder._close_run

    def planted(self: _TraceBuilder) -> None:
        if not self.ended:
            with suppress(OSError):
                os.stat(self.runs[-1].cwd)
        close_run(self)

    _TraceBuilder._close_run = planted  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "exception": _an_exception,
    "out": _a_way_out,
    "mode": _another_mode,
    "platform": _a_value_for_an_object,
    "look": _a_look_at_this_machine,
}
