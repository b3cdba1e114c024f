"""At the level ``package``: all that a package installed, once something of it was touched."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.index import PackageIndex

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.packages.package import Package
    from slimtrace.builder.root.root import Root


def find_package_files(context: RuleContext, path: str) -> Iterable[Need]:
    """The files of the packages that own a touched file.

    Their programs and libraries can be loaded: what those need is needed too, of whatever
    package. Interpreters of scripts that no run executed are not, or a shell would come back for
    each maintainer's helper.

    :raises SlimtraceError: a package database cannot be read.
    """
    if path not in context.touched or context.root.kind(path) is Kind.DIRECTORY:
        return
    index, brought = _packages(context)
    for package in index.owners(path):
        if id(package) not in brought:  # its files are too many to be hashed each time
            brought.add(id(package))
            yield from _all_of(context.root, package)


@lru_cache(maxsize=1)
def _packages(context: RuleContext) -> tuple[PackageIndex, set[int]]:
    """The packages of this closure's full image, and those that were brought already."""
    return PackageIndex(context.root), set()


def _all_of(root: Root, package: Package) -> Iterator[Need]:
    for file in package.files:
        found = root.resolve(file, follow=False)
        if not found.exists:
            continue
        kind = root.kind(found.path)
        fingerprint = root.fingerprint(found.path)
        program = fingerprint is not None and bool(fingerprint.mode & 0o111)
        load = kind is Kind.FILE and (program or ".so" in file.rpartition("/")[2])
        yield Need(file, Reason.PACKAGE, load=load)


RULE = ClosureRule(Reason.PACKAGE, find_package_files, Keep.PACKAGE)
