"""Which folders a set of files completes: then the folder's name stands for all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.app.leavings import is_leaving_file, is_leaving_folder
from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Collection

    from slimtrace.builder.root.root import Root

_MAX_NAMES = 50_000
"""Names in folders to look at; a folder after that counts as incomplete."""


class FolderCover:
    """Finds the widest folders of which each file is kept, or in the set.

    :param kept: paths that the image has.
    :param paths: the set.
    """

    def __init__(self, root: Root, kept: Collection[str], paths: Collection[str]) -> None:
        self._root = root
        self._kept = kept
        self._paths = paths
        self._complete: dict[str, bool] = {}
        self._count = 0

    def find_top(self, path: str) -> str | None:
        """Find the widest complete folder that a path is in; None if there is none."""
        top = None
        folder = path.rpartition("/")[0]
        while folder.count("/") > 1 and self._is_complete(folder):
            top = folder
            folder = folder.rpartition("/")[0]
        return top

    def _is_complete(self, folder: str) -> bool:
        if folder not in self._complete:
            self._complete[folder] = False
            self._complete[folder] = all(
                self._has(folder, name) for name in self._root.listdir(folder)
            )
        return self._complete[folder]

    def _has(self, folder: str, name: str) -> bool:
        path = f"{folder}/{name}"
        if path in self._paths:
            return True
        self._count += 1
        if self._root.kind(path) is Kind.DIRECTORY:
            is_small = self._count < _MAX_NAMES
            return is_leaving_folder(name) or (is_small and self._is_complete(path))
        return path in self._kept or is_leaving_file(name)
