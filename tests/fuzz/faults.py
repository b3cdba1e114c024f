"""Faults that are injected to check that the harnesses find them."""

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


def _raise_index_error() -> None:
    """An unexpected owner raises IndexError."""
    filter_xattrs = layers._filter_xattrs

    def faulty(member: Any) -> Any:
        if member.uid == 0o777:
            raise IndexError
        return filter_xattrs(member)

    layers._filter_xattrs = faulty


def _write_outside() -> None:
    """An entry named ``x`` is written outside the tree."""
    path_of = LayerDirectory.path_of

    def faulty(self: LayerDirectory, name: str) -> str:
        return "../outside/new" if name == "x" else path_of(self, name)

    LayerDirectory.path_of = faulty  # type: ignore[method-assign]


def _change_mode() -> None:
    """The write permission of others is lost."""
    mode = Disk._mode

    def faulty(self: Disk, inode: Inode, owned: bool) -> int:
        found = mode(self, inode, owned)
        return found & ~0o2

    Disk._mode = faulty  # type: ignore[method-assign]


def _use_value_as_object() -> None:
    """A descriptor's platform is used as an object without a check."""
    descriptor = document_parser._descriptor

    def faulty(found: object, label: str) -> document_parser.Descriptor:
        if isinstance(found, dict) and not isinstance(found.get("platform", {}), dict):
            raise AttributeError(found)  # noqa: TRY004 -- what a bug would raise
        return descriptor(found, label)

    document_parser._descriptor = faulty


def _look_up_outside() -> None:
    """The working directory of an incomplete run is looked up on this machine."""
    close_run = _TraceBuilder._close_run

    def faulty(self: _TraceBuilder) -> None:
        if not self.ended:
            with suppress(OSError):
                os.stat(self.runs[-1].cwd)
        close_run(self)

    _TraceBuilder._close_run = faulty  # type: ignore[method-assign]


FAULTS: dict[str, Callable[[], None]] = {
    "exception": _raise_index_error,
    "out": _write_outside,
    "mode": _change_mode,
    "platform": _use_value_as_object,
    "look": _look_up_outside,
}
