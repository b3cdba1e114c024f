"""The files that a Python distribution's metadata lists, as own paths."""

from __future__ import annotations

import csv
import posixpath


def in_record(text: str, site: str) -> tuple[str, ...]:
    """By ``RECORD`` (packaging.python.org, "Recording installed projects"); none if it is damaged.

    :param site: the directory that the distribution is installed into.
    """
    try:
        names = [row[0] for row in csv.reader(text.splitlines()) if row]
    except csv.Error:
        return ()
    return tuple(posixpath.normpath(posixpath.join(site, name)) for name in names)


def in_installed_files(text: str, place: str) -> tuple[str, ...]:
    """By ``installed-files.txt``, which pip wrote for eggs.

    :param place: the directory of the metadata.
    """
    names = (name for name in text.splitlines() if name.strip())
    return tuple(posixpath.normpath(posixpath.join(place, name)) for name in names)
