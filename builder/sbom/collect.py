"""Collects the contents of an SBOM: the package of each file, and the files left out of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind
from slimtrace.builder.packages.index import get_package_index
from slimtrace.builder.packages.package import read_database
from slimtrace.builder.root.os_release import OS_RELEASE_PATHS, parse_os_release
from slimtrace.builder.sbom.bom import (
    BillOfMaterials,
    Component,
    Distribution,
    KeptFile,
    escape_path,
)
from slimtrace.builder.sbom.purl import make_package_purl
from slimtrace.tracer.text import replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from slimtrace.builder.model import Entry
    from slimtrace.builder.packages.index import PackageIndex
    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.sbom.bom import Subject
    from slimtrace.builder.sbom.checksums import Checksums


def collect_facts(
    subject: Subject, entries: Mapping[str, Entry], sums: Checksums, root: Root, *, is_full: bool
) -> BillOfMaterials:
    """Collect the contents of the SBOM of an image with these entries.

    A file belongs to the first package that installed it, an OS package before a language's, so
    that software packaged by the distribution appears once.

    :param root: has the package databases: the full image, or the image itself.
    :param is_full: whether it is the full image; then its files show what was left out.
    :raises SlimtraceError: a package database or a file cannot be read.
    """
    index = get_package_index(root)
    distribution = read_distribution(root)
    packages: dict[int, Package] = {}
    files: dict[int, list[KeptFile]] = {}
    of_none: list[KeptFile] = []
    for path, entry in entries.items():
        if entry.kind is Kind.DIRECTORY:
            continue
        owner = next((package for package in index.owners(path) if package.name), None)
        if owner is not None:
            packages[id(owner)] = owner
        if entry.kind is Kind.FILE:
            of_owner = of_none if owner is None else files.setdefault(id(owner), [])
            of_owner.append(sums.hash_file(entry))
    components = [
        Component(
            package,
            make_package_purl(package, distribution),
            tuple(sorted(files.get(key, ()))),
            _find_left_out(package, entries, root, index) if is_full else None,
        )
        for key, package in packages.items()
    ]
    components.sort(key=lambda component: (component.purl, component.files))
    return BillOfMaterials(subject, distribution, tuple(components), tuple(sorted(of_none)))


def _find_left_out(
    package: Package, entries: Collection[str], root: Root, index: PackageIndex
) -> tuple[str, ...]:
    """The package's files that only the full image has; no directories."""
    found = (root.resolve(listed, follow=False) for listed in package.files)
    gone = {each.path for each in found if each.exists and each.path not in entries}
    return tuple(sorted(escape_path(path) for path in gone if not index.is_folder(path)))


def read_distribution(root: Root) -> Distribution | None:
    """Read os-release(5); None if there is none, or it has no ID."""
    text = next(filter(None, (read_database(root, path) for path in OS_RELEASE_PATHS)), "")
    fields = parse_os_release(replace_surrogates(text))
    if "ID" not in fields:
        return None
    name = fields.get("PRETTY_NAME") or fields.get("NAME") or fields["ID"]
    return Distribution(fields["ID"], fields.get("VERSION_ID", ""), name)
