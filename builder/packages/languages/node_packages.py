"""Packages that npm, yarn or pnpm installed: folders below ``node_modules``."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from slimtrace.builder.model import Kind
from slimtrace.builder.packages.package import Package
from slimtrace.builder.root.root import list_parents
from slimtrace.builder.root.tables import read_text
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.root.root import Root

_FOLDER = re.compile(r"(.*/node_modules/((?:@[^/]+/)?[^/@.][^/]*))/")
_REQUIRES = ("dependencies", "optionalDependencies", "peerDependencies")
"""Fields of package.json with the packages that it needs when it runs."""


class NodePackages:
    """The packages of one full image; each folder is read once."""

    kind = "npm"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._folder = lru_cache(maxsize=None)(self._read_folder)

    def owners(self, path: str) -> Iterator[Package]:
        """The package in whose folder the file is."""
        match = _FOLDER.match(path)
        if match and (package := self._folder(*match.groups())):
            yield package

    def required(self, package: Package) -> Iterator[Package]:
        """The packages that Node.js would find for its dependencies, upwards from its folder."""
        folder = package.records[0].rpartition("/")[0]
        for name in package.requires:
            for above in reversed(list_parents(f"{folder}/.")):
                place = f"{above.rstrip('/')}/node_modules/{name}"
                own = self._root.resolve(place)
                if own.exists and (found := self._folder(own.path, name)):
                    yield found
                    if own.links:
                        yield _make_link(found, place)
                    break

    def _read_folder(self, folder: str, name: str) -> Package | None:
        record = f"{folder}/package.json"
        try:
            manifest = orjson.loads(read_text(self._root, record))
        except ValueError:
            return None
        if not isinstance(manifest, dict) or self._root.kind(folder) is not Kind.DIRECTORY:
            return None
        package, version = str(manifest.get("name", name)), str(manifest.get("version", ""))
        files = tuple(list_files(self._root, folder, "node_modules"))
        fields = (manifest.get(field) for field in _REQUIRES)
        requires = tuple(each for field in fields if isinstance(field, dict) for each in field)
        return Package(
            "npm",
            package,
            version,
            source=package,
            files=files,
            records=(record,),
            requires=requires,
        )


def _make_link(package: Package, place: str) -> Package:
    """Make a package of one file, which leads to a package through a link.

    pnpm and workspaces link packages: Node.js finds them by the links.
    """
    record = f"{place}/package.json"
    return replace(package, files=(record,), records=(record,), requires=())
