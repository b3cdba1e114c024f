"""The packages of one full image, and whose a file is."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind
from slimtrace.builder.packages.apk import read_apk_packages
from slimtrace.builder.packages.dpkg import read_dpkg_packages
from slimtrace.builder.packages.languages import LanguagePackages
from slimtrace.builder.packages.rpm import read_rpm_packages

if TYPE_CHECKING:
    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.root.root import Root


class PackageIndex:
    """The installed packages of a root, read when they are first asked for.

    OS packages' databases are read whole; languages' as files of them are asked for.
    """

    def __init__(self, root: Root) -> None:
        self._root = root
        self._languages = LanguagePackages(root)

    @cached_property
    def system(self) -> tuple[Package, ...]:
        """The OS packages of all databases that are there.

        :raises SlimtraceError: a database cannot be read.
        """
        root = self._root
        return (*read_dpkg_packages(root), *read_apk_packages(root), *read_rpm_packages(root))

    def owners(self, path: str) -> tuple[Package, ...]:
        """The packages that installed the file at an own path: the OS's, then a language's.

        Both, where a distribution packages what a language's tools can also tell of.

        :raises SlimtraceError: a database cannot be read.
        """
        of_system = self.system_owner(path)
        return (*([of_system] if of_system else ()), *self._languages.owners(path))

    def system_owner(self, path: str) -> Package | None:
        """The OS package that installed the file at an own path, the first of several.

        :raises SlimtraceError: a database cannot be read.
        """
        if self.is_folder(path):
            return None
        places = (self._by_file.get(name) for name in self.spellings(path))
        return next((self.system[at] for at in places if at is not None), None)

    def is_folder(self, path: str) -> bool:
        """Whether what lies at an own path is a directory to the databases, and nobody's own.

        They list /lib for many packages; with a merged /usr it is a link.
        """
        kind = self._root.kind(path)
        if kind is Kind.SYMLINK and not self._shared.isdisjoint(self.spellings(path)):
            kind = self._root.kind(self._root.resolve(path).path)
        return kind is Kind.DIRECTORY

    def own_path(self, listed: str) -> str:
        """Where a file lies that a database lists, by the links in / alone."""
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
        """Listed path → place in :attr:`system`; the first package that lists it.

        Paths stay as listed: to resolve some hundred thousand would take seconds.
        """
        found: dict[str, int] = {}
        for at in range(len(self.system) - 1, -1, -1):
            found.update(dict.fromkeys(self.system[at].files, at))
        return found

    def spellings(self, path: str) -> list[str]:
        """How a database may list an own path.

        dpkg lists files of /usr/lib as /lib's, where /lib leads there (wiki.debian.org/UsrMerge).
        """
        others = [
            f"{link}{path[len(to) :]}" for link, to in self._links if path.startswith(f"{to}/")
        ]
        return [path, *others]

    @cached_property
    def _links(self) -> list[tuple[str, str]]:
        """The symlinks in / that lead to directories, and where."""
        links = [f"/{name}" for name in self._root.listdir("/")]
        links = [link for link in links if self._root.kind(link) is Kind.SYMLINK]
        found = ((link, self._root.resolve(link)) for link in links)
        return [(link, to.path) for link, to in found if to.exists and to.path != "/"]
