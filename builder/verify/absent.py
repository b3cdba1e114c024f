"""Names that Python's import system shall find and open in vain.

It reads the names in a directory once and looks for no module that is not among them
(importlib's FileFinder): what the slim image lacks would leave no trace. So the sandbox shows such
names as symlinks that lead nowhere: to every look-up they are as missing as before, and seen.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from builder.images.root import Root

_NOWHERE = "absent from the slim image"
_MODULES = (".py", ".so", ".pyc")


def show_absent(folder: str, full: Root, slim: Root) -> None:
    """Make a tree of links below ``folder``, to be laid below the slim image's."""
    for directory in _directories(slim):
        absent = list(_absent(directory, full, slim))
        place = folder + directory
        if absent:
            os.makedirs(place, exist_ok=True)
        for name in absent:
            os.symlink(_NOWHERE, os.path.join(place, name))


def _directories(slim: Root) -> Iterator[str]:
    pending = ["/"]
    while pending:
        directory = pending.pop()
        yield directory
        beneath = (f"{directory.rstrip('/')}/{name}" for name in slim.listdir(directory))
        pending += [path for path in beneath if slim.kind(path) is Kind.DIRECTORY]


def _absent(directory: str, full: Root, slim: Root) -> Iterator[str]:
    names = full.listdir(directory)
    if not _holds_modules(names):
        return
    there = set(slim.listdir(directory))
    for name in names:
        if name in there or name == "__pycache__":
            continue
        path = f"{directory.rstrip('/')}/{name}"
        if name.endswith(_MODULES) or _holds_modules(full.listdir(path)):
            yield name


def _holds_modules(names: Iterable[str]) -> bool:
    return any(name.endswith(_MODULES) for name in names)
