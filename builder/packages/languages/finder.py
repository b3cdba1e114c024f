"""What slimtrace asks of each language: which packages own a file, and what a package requires."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.root.root import Root


class PackageFinder(Protocol):
    """Finds the packages of one language in one full image. It reads each only once.

    :ivar kind: the purl type of its packages.
    """

    kind: str

    def __init__(self, root: Root) -> None: ...

    def owners(self, path: str) -> Iterable[Package]:
        """The packages that the file at an own path belongs to."""

    def required(self, package: Package) -> Iterable[Package]:
        """The installed packages that a package of this language declares to need.

        Not those that it only needs to be developed or tested, and not those of the distribution.
        """
