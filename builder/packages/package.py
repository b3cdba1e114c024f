"""What a package is, whatever manager installed it."""

from __future__ import annotations

import csv
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.builder.root.root import Root

_MAX_DATABASE_BYTES = 1 << 28
"""Bytes: no system has as many packages."""


def read_database(root: Root, path: str) -> str:
    """The text of the regular file that is looked up as ``path``, or "".

    :raises SlimtraceError: it is there and cannot be read.
    """
    return root.text(path, _MAX_DATABASE_BYTES)


def parse_record(text: str, site: str) -> tuple[str, ...]:
    """By ``RECORD`` (packaging.python.org, "Recording installed projects"); none if it is damaged.

    :param site: the directory that the distribution is installed into.
    """
    try:
        names = [row[0] for row in csv.reader(text.splitlines()) if row]
    except csv.Error:
        return ()
    return tuple(posixpath.normpath(posixpath.join(site, name)) for name in names)


def parse_installed_files(text: str, place: str) -> tuple[str, ...]:
    """By ``installed-files.txt``, which pip wrote for eggs.

    :param place: the directory of the metadata.
    """
    names = (name for name in text.splitlines() if name.strip())
    return tuple(posixpath.normpath(posixpath.join(place, name)) for name in names)


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package, as its database tells.

    :ivar kind: the purl type (package-url's PURL-TYPES): ``deb``, ``apk``, ``rpm``, ``pypi``,
        ``npm``, ``gem``.
    :ivar version: in full, as ``1:2.3-4`` or ``2.3-r4``.
    :ivar architecture: as the manager writes it; "" where there is none.
    :ivar source: the source package (of an rpm its file's name), its own name where none is said.
    :ivar files: paths of all that it installed, as the database spells them; directories among
        them where the database lists them. Some may be gone, or lie behind a symlink.
    :ivar records: the files that say so of this package alone.
    """

    kind: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    source_version: str = ""
    files: tuple[str, ...] = field(default=(), repr=False)
    records: tuple[str, ...] = field(default=(), repr=False)
