"""Packages that Composer installed: ``vendor/composer/installed.json`` lists them."""

from __future__ import annotations

import posixpath
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.builder.packages.package import Package
from slimtrace.builder.root.tables import read_text
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.root.root import Root

_RECORD = "composer/installed.json"
_MAX_RECORD_BYTES = 1 << 26


class ComposerPackages:
    """The packages of one full image; each vendor folder is read once."""

    kind = "composer"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._has_record = lru_cache(maxsize=None)(self._look_for_record)
        self._vendor = lru_cache(maxsize=None)(self._read_vendor)
        self._folder = lru_cache(maxsize=None)(self._read_folder)

    def owners(self, path: str) -> Iterator[Package]:
        """The package in whose folder the file is."""
        folder = posixpath.dirname(path)
        below: list[str] = []
        while folder != "/":
            if len(below) > 1 and self._has_record(folder):
                package = self._folder(folder, f"{below[-1]}/{below[-2]}")
                if package is not None:
                    yield package
                return
            folder, name = posixpath.split(folder)
            below.append(name)

    def required(self, package: Package) -> Iterator[Package]:
        """The installed packages that it requires, by their names or as what they replace."""
        vendor = posixpath.dirname(posixpath.dirname(package.records[0]))
        for name in package.requires:
            for folder in self._vendor(vendor)[1].get(name.lower(), ()):
                if (found := self._folder(vendor, folder)) is not None:
                    yield found

    def list_for_use(self, vendor: str) -> Iterator[str]:
        """List the folders of the packages that the app requires, without those for developers."""
        yield from self._vendor(vendor)[2]

    def _look_for_record(self, folder: str) -> bool:
        return self._root.resolve(f"{folder}/{_RECORD}").exists

    def _read_vendor(
        self, vendor: str
    ) -> tuple[Mapping[str, dict[str, Any]], Mapping[str, list[str]], tuple[str, ...]]:
        """Read the record: packages by folder, folders by provided name, folders in use."""
        text = read_text(self._root, f"{vendor}/{_RECORD}", _MAX_RECORD_BYTES)
        packages, dev = parse_installed(text)
        by_folder: dict[str, dict[str, Any]] = {}
        by_name: dict[str, list[str]] = {}
        used: list[str] = []
        for package in packages:
            name = str(package.get("name", "")).lower()
            place = package.get("install-path")
            folder = posixpath.normpath(f"composer/{place}") if isinstance(place, str) else name
            by_folder[folder] = package
            for each in (name, *_list_keys(package, "replace"), *_list_keys(package, "provide")):
                by_name.setdefault(each.lower(), []).append(folder)
            if name not in dev:
                used.append(f"{vendor}/{folder}")
        return by_folder, by_name, tuple(used)

    def _read_folder(self, vendor: str, folder: str) -> Package | None:
        package = self._vendor(vendor)[0].get(folder)
        if package is None:
            return None
        name, version = str(package.get("name", folder)), str(package.get("version", ""))
        return Package(
            self.kind,
            name,
            version,
            source=name,
            files=tuple(list_files(self._root, f"{vendor}/{folder}")),
            records=(f"{vendor}/{_RECORD}", f"{vendor}/{folder}"),
            requires=tuple(_list_keys(package, "require")),
        )


def parse_installed(text: str) -> tuple[list[dict[str, Any]], frozenset[str]]:
    """Parse an installed.json: its packages, and the names of those for developers.

    Composer 1 wrote a list of packages.
    """
    try:
        document = orjson.loads(text.encode("utf-8", "surrogateescape"))
    except ValueError:
        return [], frozenset()
    dev: Any = ()
    if isinstance(document, dict):
        dev, document = document.get("dev-package-names"), document.get("packages")
    packages = document if isinstance(document, list) else []
    names = dev if isinstance(dev, list) else []
    return [each for each in packages if isinstance(each, dict)], frozenset(map(str, names))


def _list_keys(package: dict[str, Any], field: str) -> Iterator[str]:
    table = package.get(field)
    yield from table if isinstance(table, dict) else ()
