"""Reads rpm's database since 4.16: SQLite with a header blob for each package.

(rpm.org, "RPM V4 header".) A blob is two big-endian counts (index entries, bytes of data), the
entries of four 32-bit words each (tag, type, offset, count), and the data.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import struct
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind
from slimtrace.builder.packages.package import Package
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.temporary_folder import make_temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.root.root import Root

_FOLDERS = ("/usr/lib/sysimage/rpm", "/usr/share/rpm", "/var/lib/rpm")
_OLD_DATABASES = {"Packages": "a Berkeley database", "Packages.db": "an ndb database"}
_INT32, _STRING, _STRINGS, _I18N = 4, 6, 8, 9
_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCE = 1000, 1001, 1002, 1003, 1022, 1044
_INDEXES, _BASENAMES, _DIRNAMES = 1116, 1117, 1118
_TAGS = {_NAME, _VERSION, _RELEASE, _EPOCH, _ARCH, _SOURCE, _INDEXES, _BASENAMES, _DIRNAMES}

Values = list[str | int]


def read_rpm_packages(root: Root) -> list[Package]:
    """The installed packages, by name; empty if rpm has no database.

    :raises SlimtraceError: the database cannot be read: it is of an older rpm, or damaged.
    """
    path = find_rpm_database(root)
    if path is not None:
        with open_copy(root, path) as database:
            found = [parse_package(blob) for blob in _read_blobs(database)]
        installed = (package for package in found if package.name != "gpg-pubkey")
        return sorted(installed, key=lambda package: package.name)
    for folder in _FOLDERS:
        for name, kind in _OLD_DATABASES.items():
            if root.resolve(f"{folder}/{name}").exists:
                raise SlimtraceError(
                    f"cannot read {folder}/{name}: it is {kind}, as rpm had before 4.16",
                    "convert it in the full image: rpmdb --rebuilddb with a newer rpm",
                )
    return []


def find_rpm_database(root: Root) -> str | None:
    """The own path of the SQLite database; None if there is none."""
    for folder in _FOLDERS:
        found = root.resolve(f"{folder}/rpmdb.sqlite")
        if found.exists and root.kind(found.path) is Kind.FILE:
            return found.path
    return None


@contextmanager
def open_copy(root: Root, path: str) -> Iterator[sqlite3.Connection]:
    """Open a copy of the database and of its write-ahead log, which may have the latest changes.

    :raises SlimtraceError: an error within the context shows that it is damaged.
    """
    with make_temporary_folder() as folder:
        for suffix in ("", "-wal"):
            if root.kind(path + suffix) is Kind.FILE:
                with root.open(path + suffix) as file, open(f"{folder}/db{suffix}", "wb") as copy:
                    shutil.copyfileobj(file, copy)
        try:
            with closing(sqlite3.connect(os.path.join(folder, "db"))) as database:
                yield database
        except (sqlite3.Error, struct.error, LookupError, ValueError, TypeError) as error:
            raise SlimtraceError(f"cannot read {path}: it is damaged ({error})") from error


def _read_blobs(database: sqlite3.Connection) -> list[bytes]:
    """The header blobs. Only a table is read: a view in its place could compute forever."""
    kinds = database.execute("SELECT type FROM sqlite_master WHERE name = 'Packages'").fetchall()
    if kinds != [("table",)]:
        raise ValueError("it has no table of packages")
    return [row[0] for row in database.execute("SELECT blob FROM Packages")]


def parse_package(blob: bytes) -> Package:
    """Parse a header blob into a package.

    :raises struct.error, LookupError, ValueError, TypeError: it is damaged.
    """
    tags = parse_header(blob)

    def text(tag: int) -> str:
        return str(tags[tag][0]) if tags.get(tag) else ""

    pairs = zip(tags.get(_INDEXES, []), tags.get(_BASENAMES, []), strict=True)
    folders: dict[str | int, str | int] = dict(enumerate(tags.get(_DIRNAMES, [])))
    files = tuple(f"{folders[index]}{name}" for index, name in pairs)
    epoch = f"{text(_EPOCH)}:" if tags.get(_EPOCH) else ""
    version = f"{epoch}{text(_VERSION)}-{text(_RELEASE)}"
    name = text(_NAME)
    return Package("rpm", name, version, text(_ARCH), text(_SOURCE) or name, version, files)


def parse_header(blob: bytes) -> dict[int, Values]:
    """The values of the tags that this module uses.

    :raises struct.error, ValueError: the blob ends early.
    """
    entries, size = struct.unpack_from(">II", blob)
    data = blob[8 + 16 * entries :]
    if len(data) < size:
        raise ValueError("a header ends early")
    found: dict[int, Values] = {}
    for at in range(8, 8 + 16 * entries, 16):
        tag, kind, offset, count = struct.unpack_from(">IIII", blob, at)
        if tag not in _TAGS:
            continue
        if kind == _INT32:
            found[tag] = list(struct.unpack_from(f">{count}I", data, offset))
        elif kind in {_STRING, _STRINGS, _I18N}:
            words = data[offset:].split(b"\0", count)[:count]
            found[tag] = [os.fsdecode(word) for word in words]
    return found
