"""Lists the files of the full image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind
from slimtrace.builder.root.excluded_paths import is_kernel_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.model import Entry
    from slimtrace.builder.root.root import Root


def list_entries(root: Root) -> dict[str, Entry]:
    """All files of a root, by path, without kernel file systems, sockets and devices."""
    found: dict[str, Entry] = {}
    pending = ["/"]
    while pending:
        folder = pending.pop()
        for name in root.listdir(folder):
            path = f"{folder.rstrip('/')}/{name}"
            kind = root.kind(path)
            if kind is Kind.DIRECTORY and not is_kernel_path(path):
                pending.append(path)
            elif kind is not None and kind is not Kind.DIRECTORY:
                found[path] = root.entry(path, ())
    return dict(sorted(found.items()))


def list_files(root: Root, folder: str, but: str = "") -> Iterator[str]:
    """List everything below a folder but directories; nothing if the folder does not exist.

    Symlinks in it to directories are not followed.

    :param but: the name of subfolders to skip.
    """
    found = root.resolve(folder)
    for name in root.listdir(found.path) if found.exists else ():
        if root.kind(f"{found.path.rstrip('/')}/{name}") is not Kind.DIRECTORY:
            yield f"{folder}/{name}"
        elif name != but:
            yield from list_files(root, f"{folder}/{name}", but)
