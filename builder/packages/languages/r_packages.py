"""Packages in R's libraries: a folder for each (Writing R Extensions, "Package structure").

In the DESCRIPTION of an installed package there is a field Built.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind
from slimtrace.builder.packages.package import Package
from slimtrace.builder.root.tables import read_text
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.root.root import Root

LIBRARIES = (
    "/usr/local/lib/R/site-library",
    "/usr/lib/R/site-library",
    "/usr/lib/R/library",
    "/usr/lib64/R/library",
    "/usr/share/R/library",
    "/usr/local/lib/R/library",
    "/usr/local/lib64/R/library",
)
"""Where packages are on Debian, Alpine and Fedora, and where R puts them that was compiled."""

METADATA = "/Meta/package.rds"
"""``R CMD INSTALL`` makes it. R loads no package without it."""

_FOR_READERS = ("help", "html", "doc", "demo", "tests", "include")
"""Folders of a package that R reads only to show its documentation, or to build others."""

_CATALOGS = "translations"
"""The folder in R's library with catalogs of R's own messages, for each language.
The locale decides which of them R reads.
"""

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9.]*")
_REQUIRES = ("Depends", "Imports", "LinkingTo")


class RPackages:
    """The packages in R's libraries in one full image; each folder is read once."""

    kind = "cran"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._folder = lru_cache(maxsize=None)(self._read_folder)
        self._top = lru_cache(maxsize=None)(self._find_top)

    def owners(self, path: str) -> Iterator[Package]:
        """The package in whose folder the file is."""
        top = self._top(path.rpartition("/")[0])
        if top and (package := self._folder(top)):
            yield package

    def required(self, package: Package) -> Iterator[Package]:
        """The packages that its DESCRIPTION requires: in the same library, then in the others.

        Not those that it suggests: it uses them where they are installed, and works without them.
        """
        beside = package.records[0].rpartition("/")[0].rpartition("/")[0]
        for name in package.requires:
            for library in (beside, *LIBRARIES):
                own = self._root.resolve(f"{library}/{name}")
                if own.exists and (found := self._folder(own.path)):
                    yield found
                    break

    def _find_top(self, folder: str) -> str:
        """Find the package that a folder is in, upwards; "" if it is in none."""
        if not folder:
            return ""
        if self._root.kind(f"{folder}/DESCRIPTION") is Kind.FILE:
            return folder
        return self._top(folder.rpartition("/")[0])

    def _read_folder(self, folder: str) -> Package | None:
        name = folder.rpartition("/")[2]
        record = f"{folder}/DESCRIPTION"
        fields = parse_description(read_text(self._root, record))
        is_package = "Built" in fields
        if not is_package and name != _CATALOGS:
            return None
        files = _list_files(self._root, folder) if is_package else [record]
        return Package(
            "cran",
            fields.get("Package", name),
            fields.get("Version", ""),
            source=name,
            files=tuple(files),
            records=(record,),
            requires=list_required_names(fields),
        )


def parse_description(text: str) -> dict[str, str]:
    """Parse a DESCRIPTION (Writing R Extensions, "The DESCRIPTION file"): fields by name."""
    unfolded = re.sub(r"\n[ \t]+", " ", text)
    lines = (line.partition(":") for line in unfolded.split("\n"))
    return {name: value.strip() for name, separator, value in lines if separator}


def list_required_names(fields: Mapping[str, str]) -> tuple[str, ...]:
    """List the packages that a DESCRIPTION requires for use, without R itself."""
    values = (item for field in _REQUIRES for item in fields.get(field, "").split(","))
    names = (_NAME.match(value.strip()) for value in values)
    return tuple(dict.fromkeys(name[0] for name in names if name and name[0] != "R"))


def _list_files(root: Root, folder: str) -> Iterator[str]:
    for name in root.listdir(folder):
        path = f"{folder}/{name}"
        if root.kind(path) is not Kind.DIRECTORY:
            yield path
        elif name not in _FOR_READERS:
            yield from list_files(root, path)
