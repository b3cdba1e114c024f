"""apk's database (apk-tools, doc/apk.5; wiki.alpinelinux.org, "Apk spec"): one stanza a package.

``P`` name, ``V`` version, ``A`` architecture, ``o`` origin; ``F`` a directory, and after it ``R``
each file in it, relative to the root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.packages.package import Package, read_database

if TYPE_CHECKING:
    from slimtrace.builder.root.root import Root

_DATABASES = ("/lib/apk/db/installed", "/usr/lib/apk/db/installed")


def read_apk_packages(root: Root) -> list[Package]:
    """What is installed, in the database's order; empty where apk has none.

    :raises SlimtraceError: the database cannot be read.
    """
    return [_parse_package(block) for _, block in read_apk_stanzas(root)[1]]


def read_apk_stanzas(root: Root) -> tuple[str, list[tuple[str, str]]]:
    """The path of the database, and of each package the name and the stanza; none without apk.

    :raises SlimtraceError: the database cannot be read.
    """
    for place in _DATABASES:
        text = read_database(root, place)
        if text:
            blocks = [block for block in text.split("\n\n") if block.strip()]
            return place, [(_parse_package(block).name, block) for block in blocks]
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
    called, version = fields.get("P", ""), fields.get("V", "")
    source = fields.get("o", called)
    return Package("apk", called, version, fields.get("A", ""), source, version, tuple(files))
