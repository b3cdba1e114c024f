"""Adds package databases to a selection, from which scanners know the packages of its files.

Packages without a file in the image are not listed: their vulnerabilities are not in the image.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.edit import add_entries, make_file
from slimtrace.builder.model import BuildPart, Cause, Kind, Reason
from slimtrace.builder.packages.apk import read_apk_stanzas
from slimtrace.builder.packages.index import get_package_index
from slimtrace.builder.packages.rpm import find_rpm_database
from slimtrace.builder.packages.write.apk_installed import make_installed
from slimtrace.builder.packages.write.dpkg_status import (
    STATUS,
    copyright_path,
    make_status_d,
    md5sums_path,
)
from slimtrace.builder.packages.write.rpm_database import make_rpm_database
from slimtrace.builder.root.excluded_paths import exclusion_reason
from slimtrace.builder.selection.globs import compile_globs
from slimtrace.tracer.caution import Caution
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Entry, Selection
    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.packages.write.generated_file import GeneratedFile
    from slimtrace.builder.root.root import Root

_CAUSE = Cause(Reason.PACKAGE_METADATA, BuildPart("package metadata"))


def add_package_metadata(selection: Selection, context: Context) -> Selection:
    """Add the packages' copyrights, and their part of the package database.

    Nothing where the full image has no package database. A database that is in the selection
    already, because the app reads it, stays whole, and nothing is put beside it: scanners would
    count packages twice. One that cannot be read is warned of.

    The owner of a path that the user excludes does not count; a later step removes the path.
    """
    if not context.options.package_metadata:
        return selection
    is_excluded = compile_globs(context.root, context.options.exclude)
    addition = _Addition(selection, context.root, is_excluded)
    try:
        if not addition.index.system:
            return selection
        addition.find_owners()
        addition.describe()
    except SlimtraceError as error:
        warning = Caution(
            f"the image has no package metadata, so that scanners do not know it: {error}",
            "mend the full image's database, or build with --no-package-metadata",
        )
        return replace(selection, warnings=(*selection.warnings, warning))
    return addition.selection()


class _Addition:
    def __init__(self, selection: Selection, root: Root, unwanted: Callable[[str], bool]) -> None:
        self.index = get_package_index(root)
        self._before = selection
        self._root = root
        self._unwanted = unwanted
        self._new: dict[str, Entry] = {}
        self._owners: dict[int, Package] = {}
        self._warnings: list[Caution] = []

    def find_owners(self) -> None:
        """Find the packages of all kept files, and of the copyright files that they add."""
        pending = [
            path
            for path, entry in self._before.entries.items()
            if entry.kind is not Kind.DIRECTORY and not self._unwanted(path)
        ]
        while pending:
            package = self.index.system_owner(pending.pop())
            if package is None or id(package) in self._owners:
                continue
            self._owners[id(package)] = package
            if package.kind == "deb":
                # Packages of several architectures list one copyright file. Here it belongs to
                # this package.
                added = self._keep(copyright_path(package))
                pending += [path for path in added if not self._is_of(package, path)]

    def describe(self) -> None:
        """Add the part of each database that describes the owners."""
        root, kept = self._root, self._is_kept
        debs, apks, rpms = (self._of_kind(kind) for kind in ("deb", "apk", "rpm"))
        if debs and self._has(STATUS):
            for package in debs:
                for path in (md5sums_path(package), package.records[0]):
                    self._keep(path)
        elif debs:
            self._write(make_status_d(root, debs, kept, self._is_made))
        if apks and not self._has(read_apk_stanzas(root)[0]):
            self._write(make_installed(root, apks, kept))
        if rpms and not self._has(find_rpm_database(root) or ""):
            self._write(make_rpm_database(root, rpms))

    def selection(self) -> Selection:
        added = add_entries(self._before, self._root, self._new.values())
        return replace(added, warnings=(*added.warnings, *self._warnings))

    def _of_kind(self, kind: str) -> list[Package]:
        found = [package for package in self._owners.values() if package.kind == kind]
        return sorted(found, key=lambda package: (package.name, package.architecture))

    def _has(self, path: str) -> bool:
        """Whether the whole database is in the image. Then warn."""
        found = self._root.resolve(path)
        if found.path not in self._before.entries or self._unwanted(found.path):
            return False
        self._warnings.append(
            Caution(
                f"{path} was touched or included, and is in the image as a whole: scanners will "
                "report all packages in it",
                f"if the app does without, leave it out with --exclude {path}",
            )
        )
        return True

    def _keep(self, path: str) -> list[str]:
        """Keep the file of the full image that ``path`` leads to.

        :returns: the own paths that are new and will not be excluded.
        """
        found = self._root.resolve(path)
        paths = [*found.links, found.path]
        if not found.exists or self._root.kind(found.path) is not Kind.FILE:
            return []
        if any(map(exclusion_reason, paths)):
            return []
        fresh = [each for each in paths if each not in self._before.entries]
        fresh = [each for each in fresh if each not in self._new]
        for each in fresh:
            self._new[each] = self._root.entry(each, (_CAUSE,))
        return [each for each in fresh if not self._unwanted(each)]

    def _write(self, documents: Iterable[GeneratedFile]) -> None:
        for document in documents:
            content, mtime_ns = document.content, document.mtime_ns
            for entry in make_file(self._root, document.path, content, _CAUSE, mtime_ns):
                if entry.path not in self._before.entries:
                    self._new.setdefault(entry.path, entry)

    def _is_of(self, package: Package, path: str) -> bool:
        return any(name in package.files for name in self.index.spellings(path))

    def _is_made(self, listed: str) -> bool:
        entry = self._before.entries.get(self.index.own_path(listed))
        return entry is not None and entry.content is not None

    def _is_kept(self, listed: str) -> bool:
        path = self.index.own_path(listed)
        there = path in self._before.entries or path in self._new
        return there and not self._unwanted(path) and not self.index.is_folder(path)
