"""Of a distribution's file the distribution's metadata, as importlib.metadata reads it.

Packages ask for their own version when they are imported, and for entry points later.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.packages.package import parse_installed_files, parse_record
from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.root.root import Root

_KINDS = (".dist-info", ".egg-info")
_MAX_RECORD_BYTES = 1 << 24
"""Bytes of a list of files that are read."""


@dataclass(frozen=True, slots=True)
class _Site:
    """A directory that distributions are installed into.

    :ivar owners: own path of a file → the metadata that lists it.
    :ivar names: name of a top-level module, as PEP 503 normalizes it → the metadata that has it.
    """

    owners: Mapping[str, tuple[str, ...]]
    names: Mapping[str, tuple[str, ...]]


def find_metadata(context: RuleContext, path: str) -> Iterator[Need]:
    """All metadata of the distributions that the file at an own path belongs to."""
    if (
        context.root.kind(path) is not Kind.FILE
        or f"{_KINDS[0]}/" in path
        or f"{_KINDS[1]}/" in path
    ):
        return
    for folder in reversed(list_parents(path)):
        site = _site(context, folder)
        if site is None:
            continue
        top = path[len(folder.rstrip("/")) + 1 :].partition("/")[0].partition(".")[0]
        for found in site.owners.get(path) or site.names.get(_normalized(top), ()):
            own = context.root.resolve(found).path
            names = (found, *_below(context.root, own))
            yield from (Need(each, Reason.PYTHON_METADATA) for each in names)
        return


@lru_cache(maxsize=1 << 14)
def _site(context: RuleContext, folder: str) -> _Site | None:
    """What is installed in a directory, None where nothing is."""
    kept = [name for name in context.root.listdir(folder) if name.endswith(_KINDS)]
    if not kept:
        return None
    owners: dict[str, list[str]] = {}
    names: dict[str, list[str]] = {}
    for name in kept:
        found = f"{folder.rstrip('/')}/{name}"
        for path in _listed(context.root, folder, found):
            owners.setdefault(path, []).append(found)
        for top in {_normalized(top) for top in _tops(context.root, found)}:
            names.setdefault(top, []).append(found)
    return _Site(_frozen(owners), _frozen(names))


def _listed(root: Root, folder: str, found: str) -> Iterator[str]:
    """The files that the metadata lists: by RECORD (PEP 376), or as pip did for eggs."""
    yield from parse_record(root.text(f"{found}/RECORD", _MAX_RECORD_BYTES), folder)
    yield from parse_installed_files(
        root.text(f"{found}/installed-files.txt", _MAX_RECORD_BYTES), found
    )


def _tops(root: Root, found: str) -> list[str]:
    """Names of modules: by top_level.txt, which Debian leaves there, else the distribution's."""
    lines = root.text(f"{found}/top_level.txt", _MAX_RECORD_BYTES).splitlines()
    names = [line.strip() for line in lines if line.strip()]
    return names or [posixpath.basename(found).partition("-")[0].removesuffix(_KINDS[1])]


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _below(root: Root, path: str) -> Iterator[str]:
    """The path, and where it is a directory all below it, behind no symlink."""
    yield path
    if root.kind(path) is Kind.DIRECTORY:
        for name in root.listdir(path):
            yield from _below(root, f"{path}/{name}")


def _frozen(found: Mapping[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {key: tuple(values) for key, values in found.items()}
