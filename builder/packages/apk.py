"""Reads apk's database, which has one stanza for each package.

(apk-tools, doc/apk.5; wiki.alpinelinux.org, "Apk spec".) ``P`` is the name, ``V`` the version,
``A`` the architecture, ``o`` the origin, ``D`` what it depends on; ``F`` is a directory, each ``R``
after it a file in it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.packages.package import Package, read_database

if TYPE_CHECKING:
    from slimtrace.builder.root.root import Root

_DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")


def read_apk_packages(root: Root) -> list[Package]:
    """The installed packages in the database's order; empty if apk has no database.

    :raises SlimtraceError: the database cannot be read.
    """
    return [_parse_package(block) for _, block in read_apk_stanzas(root)[1]]


def read_apk_stanzas(root: Root) -> tuple[str, list[tuple[str, str]]]:
    """The path of the database, and the name and stanza of each package; none without apk.

    :raises SlimtraceError: the database cannot be read.
    """
    for path in _DATABASES:
        text = read_database(root, path)
        if text:
            blocks = [block for block in text.split("\n\n") if block.strip()]
            return path, [(_parse_package(block).name, block) for block in blocks]
    return _DATABASES[0], []


def _parse_package(block: str) -> Package:
    fields: dict[str, str] = {}
    folder = ""
    files = []
    for line in block.split("\n"):
        name, _, value = line.partition(":")
        if name == "F":
            folder = f"/{value}" if value else ""
            files.append(folder or "/")
        elif name == "R":
            files.append(f"{folder}/{value}")
        else:
            fields.setdefault(name, value)
    package, version = fields.get("P", ""), fields.get("V", "")
    source = fields.get("o", package)
    requires = (re.split("[<>=~]", name)[0] for name in fields.get("D", "").split())
    return Package(
        "apk",
        package,
        version,
        fields.get("A", ""),
        source,
        version,
        tuple(files),
        requires=tuple(requires),
    )
