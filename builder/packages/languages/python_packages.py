"""Distributions that pip installed (packaging.python.org, "Recording installed projects").

``RECORD``, or ``installed-files.txt`` of older ones, lists their files.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.packages.package import Package, parse_installed_files, parse_record
from slimtrace.builder.root.tables import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.root.root import Root

_SITE = re.compile(r"(.*/(?:site|dist)-packages)/")
_MAX_RECORD_BYTES = 1 << 26


class PythonPackages:
    """The distributions of one full image; each ``site-packages`` is read once."""

    kind = "pypi"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._site = lru_cache(maxsize=None)(self._read_site)

    def owners(self, path: str) -> Iterator[Package]:
        """The distribution that lists the file."""
        site = _SITE.match(path)
        if site and (found := self._site(site.group(1))[0].get(path)):
            yield found

    def required(self, package: Package) -> Iterator[Package]:
        """The distributions beside it that its metadata requires, without extras."""
        by_name = self._site(package.records[0].rpartition("/")[0])[1]
        for requirement in package.requires:
            name = _normalize(re.split(r"[^\w.-]", requirement, maxsplit=1)[0])
            if name in by_name and not re.search(r";.*\bextra\b", requirement):
                yield by_name[name]

    def _read_site(self, site: str) -> tuple[Mapping[str, Package], Mapping[str, Package]]:
        """The distributions in a directory by file, and by name."""
        by_file: dict[str, Package] = {}
        by_name: dict[str, Package] = {}
        for name in self._root.listdir(site):
            if not name.endswith((".dist-info", ".egg-info")):
                continue
            package = _read_distribution(self._root, site, name)
            if package is not None:
                by_name.setdefault(_normalize(package.name), package)
                for file in package.files:
                    by_file.setdefault(file, package)
        return by_file, by_name


def _normalize(name: str) -> str:
    """Normalize a distribution's name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


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
