"""Finds files that answers named, that no run asked for, and that the slim image lacks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from slimtrace.builder.model import Kind
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.text import format_count
from slimtrace.tracer.trace.trace import State

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_MAX_NAMED = 5
"""Files that a line names."""
_MAX_FOLDERS = 20_000
_MAX_PARENTS = 3
"""How far above a touched file the folder may be in which a path of a URL begins."""


class NamedFile(NamedTuple):
    """A file of the full image.

    :ivar target: the path, with the query, by which an answer named it.
    """

    target: str
    path: str


def find_named_files(trace: Trace, full: Root, kept: Collection[str]) -> tuple[NamedFile, ...]:
    """The files that answers of the last run named, as far as their paths in URLs show them.

    :param kept: the paths of the slim image.
    """
    result = trace.runs[-1].drive_result if trace.runs else None
    if result is None or not result.unrequested:
        return ()
    folders = [*_list_folders(trace, full)]
    found: dict[str, NamedFile] = {}
    for target in result.unrequested:
        parts = [part for part in unquote(target.partition("?")[0]).split("/") if part]
        if ".." in parts:  # servers refuse it
            continue
        path = _find_file(full, folders, parts) or _find_file(full, folders, parts[1:])
        if path is not None and path not in kept:
            found.setdefault(path, NamedFile(target, path))
    return tuple(found.values())


def _list_folders(trace: Trace, full: Root) -> Iterator[str]:
    """Yield the own paths of the folders of files that the app touched, and those above them."""
    seen: set[str] = set()
    for path in trace.paths.values():
        if path.state is not State.FILE:
            continue
        folder = full.resolve(os.path.dirname(path.path)).path
        for _ in range(_MAX_PARENTS):
            if folder in seen or len(seen) > _MAX_FOLDERS:
                break
            seen.add(folder)
            yield folder
            folder = os.path.dirname(folder)


def _find_file(full: Root, folders: Sequence[str], parts: Sequence[str]) -> str | None:
    """The own path of the first file at these parts below one of the folders."""
    if not parts:
        return None
    for folder in folders:
        top = os.path.join(folder, parts[0])
        if full.kind(top) is None:
            continue
        own = full.resolve(os.path.join(folder, *parts)).path
        if full.kind(own) is Kind.FILE:
            return own
    return None


def describe_named_files(named: Sequence[NamedFile]) -> Caution:
    """What to tell the user of them."""
    files, paths = format_count(len(named), "file"), [each.path for each in named]
    more = ", …" if len(paths) > _MAX_NAMED else ""
    return Caution(
        f"answers name {files} that no run asked for and the image lacks: "
        f"{', '.join(paths[:_MAX_NAMED])}{more}",
        "add --crawl, or keep them with --include",
    )
