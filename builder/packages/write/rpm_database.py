"""Makes rpm's database with only the kept packages, with their whole headers.

The lists of files in a header are not changed: its digest covers them, and rpm skips a package
whose header does not match its digest.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from slimtrace.builder.packages.rpm import find_rpm_database, open_copy, parse_package
from slimtrace.builder.packages.write.generated_file import GeneratedFile, read_mtime
from slimtrace.tracer.temporary_folder import make_temporary_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.root.root import Root

_CHANGES, _VALID_FOR, _WRITTEN_BY = slice(24, 28), slice(92, 96), slice(96, 100)
"""Fields of the database header: change counter, version-valid-for and SQLite's version number
(sqlite.org, "Database File Format", 1.3)."""
_SQLITE = 3_007_000


def make_rpm_database(root: Root, packages: Sequence[Package]) -> Iterator[GeneratedFile]:
    """Make the database.

    :raises SlimtraceError: the full image's database cannot be read.
    """
    path = find_rpm_database(root)
    if path is None:
        return
    kept = {(package.name, package.version, package.architecture) for package in packages}
    with open_copy(root, path) as database:
        numbers = set()
        for number, blob in database.execute("SELECT hnum, blob FROM Packages"):
            package = parse_package(blob)
            if (package.name, package.version, package.architecture) in kept:
                numbers.add(number)
        content = _make_database(database, numbers)
    yield GeneratedFile(path, content, read_mtime(root, path))


def _make_database(database: sqlite3.Connection, numbers: set[int]) -> bytes:
    """A new database with these packages and their rows in the index tables.

    The bytes are the same each time, with any version of SQLite. There is no write-ahead log: none
    can be created in a read-only root.
    """
    with make_temporary_folder() as folder:
        path = os.path.join(folder, "rpmdb.sqlite")
        with closing(sqlite3.connect(path, isolation_level=None)) as copy:
            size = database.execute("PRAGMA page_size").fetchone()[0]
            version = database.execute("PRAGMA user_version").fetchone()[0]
            for step in (f"page_size = {size}", f"user_version = {version}", "synchronous = OFF"):
                copy.execute(f"PRAGMA {step}")
            copy.execute("BEGIN")
            for table in _make_tables(database, copy):
                _copy_rows(database, copy, table, numbers)
            copy.execute("COMMIT")
            copy.execute("VACUUM")
        with open(path, "rb") as file:
            content = bytearray(file.read())
    content[_CHANGES] = content[_VALID_FOR] = (1).to_bytes(4, "big")
    content[_WRITTEN_BY] = _SQLITE.to_bytes(4, "big")
    return bytes(content)


def _make_tables(database: sqlite3.Connection, copy: sqlite3.Connection) -> list[str]:
    """Create the tables and indexes, but no views and triggers: they could run anything."""
    found = database.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE type IN ('table', 'index') "
        "AND sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY type DESC, name"
    ).fetchall()
    for _, _, sql in found:
        copy.execute(sql)
    return [name for kind, name, _ in found if kind == "table"]


def _copy_rows(
    database: sqlite3.Connection, copy: sqlite3.Connection, table: str, numbers: set[int]
) -> None:
    quoted = '"' + table.replace('"', '""') + '"'
    rows = database.execute(f"SELECT * FROM {quoted} ORDER BY rowid")  # noqa: S608 -- quoted
    columns = [column[0] for column in rows.description]
    if "hnum" not in columns:
        return
    at = columns.index("hnum")
    marks = ", ".join("?" * len(columns))
    kept = (row for row in rows if row[at] in numbers)
    copy.executemany(f"INSERT INTO {quoted} VALUES ({marks})", kept)  # noqa: S608 -- quoted
