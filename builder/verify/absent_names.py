"""Names that Python's import system shall find and open in vain.

It reads the names in a directory once and looks for nothing that is not among them, neither
modules (importlib's FileFinder) nor what tells of a package (importlib.metadata): what the slim
image lacks would leave no trace. So the sandbox shows such names as symlinks that lead nowhere:
to every look-up they are as missing as before, and seen.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.root.root import Root

_LINK_TARGET = "absent from the slim image"
_PACKAGE_FILE = "__init__.py"
_MODULE_SUFFIXES = (".py", ".so", ".pyc", ".dist-info", ".egg-info")


def link_absent_names(folder: str, full: Root, slim: Root) -> set[str]:
    """Make a tree of links below ``folder``, to be laid below the slim image's.

    :returns: the directories that show names which they do not hold.
    """
    shown = set()
    for directory in _walk_directories(slim):
        absent = list(_find_absent_names(directory, full, slim))
        place = folder + directory
        if absent:
            shown.add(directory)
            os.makedirs(place, exist_ok=True)
        for name in absent:
            os.symlink(_LINK_TARGET, os.path.join(place, name))
    return shown


def _walk_directories(slim: Root) -> Iterator[str]:
    pending = ["/"]
    while pending:
        directory = pending.pop()
        yield directory
        beneath = (f"{directory.rstrip('/')}/{name}" for name in slim.listdir(directory))
        pending += [path for path in beneath if slim.kind(path) is Kind.DIRECTORY]


def _find_absent_names(directory: str, full: Root, slim: Root) -> Iterator[str]:
    if not _is_searched(full, directory):
        return
    there = set(slim.listdir(directory))
    for name in full.listdir(directory):
        if name in there or name == "__pycache__" or f"{name}c" in there:
            continue  # a module is there that is compiled alone
        if name.endswith(_MODULE_SUFFIXES) or _is_searched(full, f"{directory.rstrip('/')}/{name}"):
            yield name


def _is_searched(full: Root, path: str) -> bool:
    """Whether modules are looked for there: some are, or packages are (PEP 420: a namespace)."""
    if full.kind(path) is not Kind.DIRECTORY:
        return False
    names = full.listdir(path)
    if any(name.endswith(_MODULE_SUFFIXES) for name in names):
        return True
    return any(full.kind(f"{path}/{name}/{_PACKAGE_FILE}") is not None for name in names)
