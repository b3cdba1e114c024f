"""The packages of all languages' own installers in one full image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.builder.packages.languages.composer_packages import ComposerPackages
from slimtrace.builder.packages.languages.luarocks_packages import LuaRocksPackages
from slimtrace.builder.packages.languages.node_packages import NodePackages
from slimtrace.builder.packages.languages.otp_applications import OtpApplications
from slimtrace.builder.packages.languages.perl_packages import PerlPackages
from slimtrace.builder.packages.languages.python_packages import PythonPackages
from slimtrace.builder.packages.languages.r_packages import RPackages
from slimtrace.builder.packages.languages.ruby_packages import RubyPackages

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.packages.languages.finder import PackageFinder
    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.root.root import Root

FINDERS: tuple[type[PackageFinder], ...] = (
    PythonPackages,
    NodePackages,
    RubyPackages,
    RPackages,
    OtpApplications,
    PerlPackages,
    ComposerPackages,
    LuaRocksPackages,
)


class LanguagePackages:
    """The language packages of one full image."""

    def __init__(self, root: Root) -> None:
        self._finders = {finder.kind: finder(root) for finder in FINDERS}

    def owners(self, path: str) -> Iterator[Package]:
        """The language packages that the file at an own path belongs to."""
        for finder in self._finders.values():
            yield from finder.owners(path)

    def required(self, package: Package) -> Iterator[Package]:
        """The installed packages that a language's package declares to need."""
        finder = self._finders.get(package.kind)
        if finder is not None:
            yield from finder.required(package)
