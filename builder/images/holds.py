"""All that the root of an image holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind
from slimtrace.builder.outside import is_kernels

if TYPE_CHECKING:
    from slimtrace.builder.images.root import Root
    from slimtrace.builder.model import Entry


def entries_of(root: Root) -> dict[str, Entry]:
    """All that a root holds, but for what the kernel provides, sockets and devices."""
    found: dict[str, Entry] = {}
    pending = ["/"]
    while pending:
        folder = pending.pop()
        for name in root.listdir(folder):
            path = f"{folder.rstrip('/')}/{name}"
            kind = root.kind(path)
            if kind is Kind.DIRECTORY and not is_kernels(path):
                pending.append(path)
            elif kind is not None and kind is not Kind.DIRECTORY:
                found[path] = root.entry(path, ())
    return dict(sorted(found.items()))
