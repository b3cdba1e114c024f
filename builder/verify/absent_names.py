"""Dangling symlinks for Python modules that the slim image lacks.

Python's import system lists a directory once and looks up only the names in it, for modules
(importlib's FileFinder) and for package metadata (importlib.metadata). So a module that the slim
image lacks would never be looked up, and the trace would not show it. The sandbox therefore shows
such names as symlinks to nothing: a lookup fails as before, and is recorded.
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
    """Make a tree of dangling links in ``folder``, to be mounted below the slim image.

    :returns: the directories that get such links.
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
            continue  # only the compiled module is in the image
        if name.endswith(_MODULE_SUFFIXES) or _is_searched(full, f"{directory.rstrip('/')}/{name}"):
            yield name


def _is_searched(full: Root, path: str) -> bool:
    """Whether it has modules, or packages as a namespace package has (PEP 420)."""
    if full.kind(path) is not Kind.DIRECTORY:
        return False
    names = full.listdir(path)
    if any(name.endswith(_MODULE_SUFFIXES) for name in names):
        return True
    return any(full.kind(f"{path}/{name}/{_PACKAGE_FILE}") is not None for name in names)
