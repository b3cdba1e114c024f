"""Distributions that pip installed (packaging.python.org, "Recording installed projects").

``RECORD``, or ``installed-files.txt`` of older ones, lists their files.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.packages.languages.python_requirements import list_required, normalize
from slimtrace.builder.packages.package import Package, parse_installed_files, parse_record
from slimtrace.builder.root.root import list_parents
from slimtrace.builder.root.tables import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.root.root import Root

_SITE = re.compile(r".*/(?:site|dist)-packages")
_MAX_RECORD_BYTES = 1 << 26


class PythonPackages:
    """The distributions of one full image; each ``site-packages`` is read once."""

    kind = "pypi"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._site = lru_cache(maxsize=None)(self._read_site)
        self._is_site = lru_cache(maxsize=None)(self._has_distributions)

    def owners(self, path: str) -> Iterator[Package]:
        """The distribution that lists the file."""
        for folder in reversed(list_parents(path)):
            if self._is_site(folder):
                found = self._site(folder)[0].get(path)
                if found is not None:
                    yield found
                return

    def required(self, package: Package) -> Iterator[Package]:
        """The distributions beside it that its metadata requires."""
        site = package.records[0].rpartition("/")[0]
        by_name = self._site(site)[1]
        for name in dict.fromkeys(list_required(package.requires, site, by_name)):
            yield by_name[name]

    def _has_distributions(self, folder: str) -> bool:
        """Whether distributions are installed there; ``pip --target`` takes any folder."""
        return _SITE.fullmatch(folder) is not None or any(
            name.endswith(".dist-info") for name in self._root.listdir(folder)
        )

    def _read_site(self, site: str) -> tuple[Mapping[str, Package], Mapping[str, Package]]:
        """The distributions in a directory by file, and by name."""
        by_file: dict[str, Package] = {}
        by_name: dict[str, Package] = {}
        for name in self._root.listdir(site):
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            package = _read_distribution(self._root, site, name)
            if package is not None:
                by_name.setdefault(normalize(package.name), package)
                for file in package.files:
                    by_file.setdefault(file, package)
        return by_file, by_name


def _read_distribution(root: Root, site: str, name: str) -> Package | None:
    """Read a distribution; None if it has no list of its files."""
    metadata = f"{site}/{name}"
    record = read_text(root, f"{metadata}/RECORD", _MAX_RECORD_BYTES)
    installed = (
        "" if record else read_text(root, f"{metadata}/installed-files.txt", _MAX_RECORD_BYTES)
    )
    files = parse_record(record, site) or parse_installed_files(installed, metadata)
    if not files:
        return None
    text = read_text(root, f"{metadata}/METADATA") or read_text(root, f"{metadata}/PKG-INFO")
    header = text.partition("\n\n")[0]
    found = dict(re.findall(r"^(Name|Version):\s*(\S+)", header, re.MULTILINE))
    requires = re.findall(r"^Requires-Dist:\s*(.+)", header, re.MULTILINE)
    stem = name.rpartition(".")[0].split("-")
    project, version = found.get("Name", stem[0]), found.get("Version", "".join(stem[1:2]))
    return Package(
        "pypi",
        project,
        version,
        source=project,
        files=files,
        records=(metadata,),
        requires=tuple(requires),
    )
