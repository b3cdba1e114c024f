"""Finds the metadata of the distribution that a file belongs to, as importlib.metadata reads it.

Packages read their own version when they are imported, and entry points later.
"""

from __future__ import annotations

import posixpath
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.packages.languages.python_requirements import normalize
from slimtrace.builder.packages.package import parse_installed_files, parse_record
from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.root.root import Root

_KINDS = (".dist-info", ".egg-info")
_MAX_RECORD_BYTES = 1 << 24
"""Bytes that are read of a list of files."""


@dataclass(frozen=True, slots=True)
class _Site:
    """A directory with installed distributions.

    :ivar owners: own path of a file → paths of the metadata that lists it.
    :ivar names: name of a top-level module, as PEP 503 normalizes it → paths of its metadata.
    """

    owners: Mapping[str, tuple[str, ...]]
    names: Mapping[str, tuple[str, ...]]


def find_metadata(context: RuleContext, path: str) -> Iterator[Need]:
    """Find all metadata of the distributions that the file at an own path belongs to."""
    if (
        context.root.kind(path) is not Kind.FILE
        or f"{_KINDS[0]}/" in path
        or f"{_KINDS[1]}/" in path
    ):
        return
    for folder in reversed(list_parents(path)):
        site = _read_site(context, folder)
        if site is None:
            continue
        top = path[len(folder.rstrip("/")) + 1 :].partition("/")[0].partition(".")[0]
        done = context.get_done(Reason.PYTHON_METADATA)
        for metadata in site.owners.get(path) or site.names.get(normalize(top), ()):
            if metadata in done:
                continue
            done.add(metadata)
            own = context.root.resolve(metadata).path
            paths = (metadata, *_list_tree(context.root, own))
            yield from (Need(each, Reason.PYTHON_METADATA) for each in paths)
        return


@lru_cache(maxsize=1 << 14)
def _read_site(context: RuleContext, folder: str) -> _Site | None:
    """Read which distributions are installed in a directory; None if there are none."""
    entries = [name for name in context.root.listdir(folder) if name.endswith(_KINDS)]
    if not entries:
        return None
    owners: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {}
    for name in entries:
        metadata = f"{folder.rstrip('/')}/{name}"
        for path in _list_files(context.root, folder, metadata):
            owners.setdefault(path, []).append(metadata)
        for top in {normalize(top) for top in _list_modules(context.root, metadata)}:
            names.setdefault(top, []).append(metadata)
    return _Site(_freeze(owners), _freeze(names))


def _list_files(root: Root, folder: str, metadata: str) -> Iterator[str]:
    """List a distribution's files by RECORD (PEP 376), or by pip's list for eggs."""
    yield from parse_record(root.text(f"{metadata}/RECORD", _MAX_RECORD_BYTES), folder)
    yield from parse_installed_files(
        root.text(f"{metadata}/installed-files.txt", _MAX_RECORD_BYTES), metadata
    )


def _list_modules(root: Root, metadata: str) -> list[str]:
    """List module names by top_level.txt, which Debian keeps; else the distribution's name."""
    lines = root.text(f"{metadata}/top_level.txt", _MAX_RECORD_BYTES).splitlines()
    names = [line.strip() for line in lines if line.strip()]
    return names or [posixpath.basename(metadata).partition("-")[0].removesuffix(_KINDS[1])]


def _list_tree(root: Root, path: str) -> Iterator[str]:
    """List the path and, if it is a directory, all paths below it. It follows no symlink."""
    yield path
    if root.kind(path) is Kind.DIRECTORY:
        for name in root.listdir(path):
            yield from _list_tree(root, f"{path}/{name}")


def _freeze(table: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(values) for key, values in table.items()}
