"""A package of any package manager."""

from __future__ import annotations

import csv
import posixpath
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.builder.root.root import Root

_MAX_DATABASE_BYTES = 1 << 28
"""No system has packages enough for a larger database."""


def read_database(root: Root, path: str) -> str:
    """The text of the regular file that ``path`` leads to; "" if there is none.

    :raises SlimtraceError: it exists and cannot be read.
    """
    return root.text(path, _MAX_DATABASE_BYTES)


def parse_record(text: str, site: str) -> tuple[str, ...]:
    """The paths in a ``RECORD`` (packaging.python.org, "Recording installed projects").

    Empty if it is damaged.

    :param site: the directory that the distribution is installed into.
    """
    try:
        names = [row[0] for row in csv.reader(text.splitlines()) if row]
    except csv.Error:
        return ()
    return tuple(posixpath.normpath(posixpath.join(site, name)) for name in names)


def parse_installed_files(text: str, place: str) -> tuple[str, ...]:
    """The paths in an ``installed-files.txt``, which pip wrote for eggs.

    :param place: the directory of the metadata.
    """
    names = (name for name in text.splitlines() if name.strip())
    return tuple(posixpath.normpath(posixpath.join(place, name)) for name in names)


@dataclass(frozen=True, slots=True)
class Package:
    """One installed package, as its database describes it.

    :ivar kind: the purl type (package-url's PURL-TYPES): ``deb``, ``apk``, ``rpm``, ``pypi``,
        ``npm``, ``gem``, ``cran``, ``otp``, ``composer``, ``luarocks``.
    :ivar version: in full, as ``1:2.3-4`` or ``2.3-r4``.
    :ivar architecture: as the package manager writes it; "" if there is none.
    :ivar source: the source package (for an rpm, its file name); its own name if none is given.
    :ivar files: the paths that it installed, as the database spells them, with directories if the
        database lists them. Some may be gone, or behind a symlink.
    :ivar records: the database files for this package only.
    :ivar requires: what it declares to need when it is used, as its metadata writes it.
    """

    kind: str
    name: str
    version: str
    architecture: str = ""
    source: str = ""
    source_version: str = ""
    files: tuple[str, ...] = field(default=(), repr=False)
    records: tuple[str, ...] = field(default=(), repr=False)
    requires: tuple[str, ...] = field(default=(), repr=False)
