"""Reads dpkg's database (dpkg(1), FILES): ``status`` and ``info/NAME[:ARCH].list``.

Images without dpkg itself ("distroless") have a file with a stanza for each package in
``status.d``. slimtrace's images also have the list of its kept files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.packages.package import Package, read_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.root.root import Root


def parse_stanzas(text: str) -> Iterator[dict[str, str]]:
    """Parse the fields of each stanza, by name, without their continuation lines."""
    for block in text.split("\n\n"):
        found = {}
        for line in block.split("\n"):
            if line[:1] not in {"", " ", "\t", "#"}:
                name, _, value = line.partition(":")
                found[name] = value.strip()
        if found:
            yield found


ADMIN = "/var/lib/dpkg"
_UNPACKED_STATES = (
    "installed",
    "unpacked",
    "half-configured",
    "triggers-awaited",
    "triggers-pending",
)


class Diversion(NamedTuple):
    """The package ``by`` (":" is the admin) moved others' file ``original`` to ``to``."""

    original: str
    to: str
    by: str


def read_dpkg_packages(root: Root) -> list[Package]:
    """The installed packages, by name; empty if dpkg has no database.

    A file that was diverted is listed where it was moved to (dpkg-divert(1)).

    :raises SlimtraceError: the database cannot be read.
    """
    names = set(root.listdir(root.resolve(f"{ADMIN}/info").path))
    moved = {divert.original: divert for divert in read_diversions(root)}
    found = []
    for stanza in parse_stanzas(read_database(root, f"{ADMIN}/status")):
        if stanza.get("Status", "").rpartition(" ")[2] not in _UNPACKED_STATES:
            continue
        name, architecture = stanza.get("Package", ""), stanza.get("Architecture", "")
        stem = f"{name}:{architecture}" if f"{name}:{architecture}.list" in names else name
        listing = f"{ADMIN}/info/{stem}.list"
        files = [line for line in read_database(root, listing).split("\n") if line]
        if not moved.keys().isdisjoint(files):
            files = [_divert(moved.get(file), file, name) for file in files]
        found.append(_make_package(stanza, files, (listing,)))
    return found + _read_status_d(root)


def read_diversions(root: Root) -> list[Diversion]:
    """Read the file ``diversions``, with three lines for each."""
    lines = read_database(root, f"{ADMIN}/diversions").split("\n")
    return [Diversion(*lines[at : at + 3]) for at in range(0, len(lines) - 2, 3)]


def _divert(divert: Diversion | None, file: str, name: str) -> str:
    return file if divert is None or divert.by == name else divert.to


def _read_status_d(root: Root) -> list[Package]:
    folder = f"{ADMIN}/status.d"
    found = []
    for name in root.listdir(root.resolve(folder).path):
        if name.endswith(".md5sums"):
            continue
        path, sums = f"{folder}/{name}", f"{folder}/{name}.md5sums"
        files = [line.partition("  ")[2] for line in read_database(root, sums).split("\n")]
        files += read_database(root, f"{ADMIN}/info/{name}.list").split("\n")
        for stanza in parse_stanzas(read_database(root, path)):
            paths = [f"/{file.removeprefix('./').lstrip('/')}" for file in files if file]
            paths = [*dict.fromkeys(paths)]
            found.append(_make_package(stanza, paths, (path, sums)))
    return found


def _make_package(stanza: Mapping[str, str], files: list[str], records: tuple[str, ...]) -> Package:
    name, version = stanza.get("Package", ""), stanza.get("Version", "")
    source, _, given = stanza.get("Source", name).partition(" ")  # ``name (version)``
    return Package(
        "deb",
        name,
        version,
        stanza.get("Architecture", ""),
        source,
        given.strip("()") or version,
        tuple(file for file in files if file != "/."),
        records,
        tuple(_parse_names(stanza.get("Pre-Depends", ""), stanza.get("Depends", ""))),
    )


def _parse_names(*fields: str) -> Iterator[str]:
    """Parse the names in relationships, alternatives too (deb-control(5), Depends)."""
    for field in fields:
        for relation in field.replace("|", ",").split(","):
            if name := relation.partition("(")[0].partition(":")[0].strip():
                yield name
