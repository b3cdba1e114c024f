"""Walks folders of the full image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.images.root import Root


def files_below(root: Root, folder: str, but: str = "") -> Iterator[str]:
    """All that is no directory below a folder, as it is looked up; nothing where it is not there.

    A symlink in it to a directory is not walked.

    :param but: the name of folders in it that are not walked either.
    """
    found = root.resolve(folder)
    for name in root.listdir(found.path) if found.exists else ():
        if root.kind(f"{found.path.rstrip('/')}/{name}") is not Kind.DIRECTORY:
            yield f"{folder}/{name}"
        elif name != but:
            yield from files_below(root, f"{folder}/{name}", but)
