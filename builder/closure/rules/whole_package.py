"""At the level ``package``: all files of a package, if one of them was touched."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.index import get_package_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.packages.index import PackageIndex
    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.root.root import Root


def find_package_files(context: RuleContext, path: str) -> Iterable[Need]:
    """Find the files of the packages that own a touched file.

    Their programs and libraries can be loaded, so the libraries that they need are added too, from
    any package. Interpreters of scripts that no run executed are not added: almost every package
    has a helper script, which would add a shell.

    :raises SlimtraceError: a package database cannot be read.
    """
    if path not in context.touched or context.root.kind(path) is Kind.DIRECTORY:
        return
    index, added = _index_packages(context)
    for package in index.owners(path):
        if id(package) not in added:  # a package has too many files to hash each time
            added.add(id(package))
            yield from _list_needs(context.root, package)


@lru_cache(maxsize=1)
def _index_packages(context: RuleContext) -> tuple[PackageIndex, set[int]]:
    """The packages of this closure's full image, and the ids of those that were added already."""
    return get_package_index(context.root), set()


def _list_needs(root: Root, package: Package) -> Iterator[Need]:
    for file in package.files:
        own = root.resolve(file, follow=False)
        if not own.exists:
            continue
        kind = root.kind(own.path)
        program = root.is_executable(own.path)
        load = kind is Kind.FILE and (program or ".so" in file.rpartition("/")[2])
        yield Need(file, Reason.PACKAGE, load=load)


RULE = ClosureRule(
    Reason.PACKAGE,
    find_package_files,
    "everything that the package of a touched file installed: packages of dpkg, apk, "
    "rpm (4.16 and later), Python (`RECORD`), Node.js, Ruby, R and OTP; and the libraries "
    "that programs among these files need",
    Keep.PACKAGE,
)
