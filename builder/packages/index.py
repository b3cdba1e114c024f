"""The packages of one full image, and the owners of its files."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind
from slimtrace.builder.packages.apk import read_apk_packages
from slimtrace.builder.packages.dpkg import read_dpkg_packages
from slimtrace.builder.packages.languages.language_packages import LanguagePackages
from slimtrace.builder.packages.languages.library_folders import is_library
from slimtrace.builder.packages.rpm import read_rpm_packages
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.root.root import Root

_SYSTEM = frozenset({"deb", "apk", "rpm"})
"""Kinds of packages of operating systems."""


class PackageIndex:
    """The installed packages of a root, read on first use.

    The databases of OS packages are read as a whole, a language's metadata for each folder.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._languages = LanguagePackages(root)
        self._reduced: dict[tuple[str, str, str], Package] = {}

    @cached_property
    def system(self) -> tuple[Package, ...]:
        """The OS packages of all databases in the root.

        :raises SlimtraceError: a database cannot be read.
        """
        root = self._root
        return (*read_dpkg_packages(root), *read_apk_packages(root), *read_rpm_packages(root))

    @cached_property
    def is_readable(self) -> bool:
        """Whether all databases of OS packages can be read; rpm before 4.16 had another format."""
        try:
            self.system  # noqa: B018 -- reads them
        except SlimtraceError:
            return False
        return True

    def owners(self, path: str) -> tuple[Package, ...]:
        """The packages that installed the file at an own path: an OS package, then a language's.

        A file can have both, where a distribution packages a language's distribution.

        :raises SlimtraceError: a database cannot be read.
        """
        of_system = self.system_owner(path) if self.system else None
        return (*([of_system] if of_system else ()), *self._languages.owners(path))

    def library_owners(self, path: str) -> tuple[Package, ...]:
        """The packages of a language that the file at an own path belongs to.

        An OS package counts where it brings a language's libraries; with its files there only.
        None does where a database cannot be read.
        """
        of_language = tuple(self._languages.owners(path))
        if not of_language and is_library(path):
            owner = self.system_owner(path)
            of_language = () if owner is None else (self._reduce(owner),)
        return of_language

    def required_libraries(self, package: Package) -> tuple[Package, ...]:
        """The installed packages of languages that a package declares to need.

        :raises SlimtraceError: a database cannot be read.
        """
        if package.kind not in _SYSTEM:
            return tuple(self._languages.required(package))
        found = (self._by_name.get((package.kind, name)) for name in package.requires)
        reduced = (self._reduce(self.system[at]) for at in found if at is not None)
        return tuple(each for each in reduced if each.files)

    def _reduce(self, package: Package) -> Package:
        """The package with only the files that are libraries of a language."""
        key = (package.kind, package.name, package.architecture)
        if key not in self._reduced:
            files = (file for file in package.files if is_library(self.own_path(file)))
            self._reduced[key] = replace(package, files=tuple(files))
        return self._reduced[key]

    @cached_property
    def _by_name(self) -> dict[tuple[str, str], int]:
        """Kind and name → index in :attr:`system`."""
        return {(package.kind, package.name): at for at, package in enumerate(self.system)}

    def system_owner(self, path: str) -> Package | None:
        """The first OS package that installed the file at an own path.

        None where a database cannot be read: then nobody knows.
        """
        if not self.is_readable or self.is_folder(path):
            return None
        indexes = (self._by_file.get(name) for name in self.spellings(path))
        return next((self.system[at] for at in indexes if at is not None), None)

    def is_folder(self, path: str) -> bool:
        """Whether an own path is a directory, or a link that databases list as a directory.

        They list /lib for many packages; with a merged /usr it is a link.
        """
        kind = self._root.kind(path)
        if kind is Kind.SYMLINK and not self._shared.isdisjoint(self.spellings(path)):
            kind = self._root.kind(self._root.resolve(path).path)
        return kind is Kind.DIRECTORY

    def own_path(self, listed: str) -> str:
        """The path of a listed file with the symlinks in / resolved, and no others."""
        for link, to in self._links:
            if listed.startswith(f"{link}/"):
                return to + listed[len(link) :]
        return listed

    @cached_property
    def _shared(self) -> set[str]:
        """Listed paths of more than one package."""
        found: set[str] = set()
        shared: set[str] = set()
        for package in self.system:
            shared.update(found.intersection(package.files))
            found.update(package.files)
        return shared

    @cached_property
    def _by_file(self) -> dict[str, int]:
        """Listed path → index in :attr:`system` of the first package that lists it.

        Paths are not resolved: for some hundred thousand of them that would take seconds.
        """
        found: dict[str, int] = {}
        for at in range(len(self.system) - 1, -1, -1):
            found.update(dict.fromkeys(self.system[at].files, at))
        return found

    def spellings(self, path: str) -> list[str]:
        """The paths by which a database may list an own path.

        dpkg lists files of /usr/lib below /lib, if /lib is a link to it (wiki.debian.org/UsrMerge).
        """
        others = [
            f"{link}{path[len(to) :]}" for link, to in self._links if path.startswith(f"{to}/")
        ]
        return [path, *others]

    @cached_property
    def _links(self) -> list[tuple[str, str]]:
        """The symlinks in / to directories, and their targets."""
        links = [f"/{name}" for name in self._root.listdir("/")]
        links = [link for link in links if self._root.kind(link) is Kind.SYMLINK]
        found = ((link, self._root.resolve(link)) for link in links)
        return [(link, to.path) for link, to in found if to.exists and to.path != "/"]


get_package_index = lru_cache(maxsize=4)(PackageIndex)
"""Returns the packages of a root. The index is made once."""
