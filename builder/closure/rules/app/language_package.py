"""Language packages of which a file is kept are kept whole, with those that they require.

The packages' own metadata list their files and what they require. A package of the distribution
counts with its files in the language's library folders.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.app.bounds import Bound, take_within
from slimtrace.builder.closure.rules.app.leavings import is_package_leaving
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.index import get_package_index

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import LimitMet, RuleContext
    from slimtrace.builder.packages.package import Package

BOUND = Bound(files=30_000, size=256 << 20)
"""For one package. Larger ones carry models, browsers or compilers."""

_RECORD = re.compile(
    r".*(?:\.(?:dist|egg)-info/.*|\.egg-info|\.gemspec|/node_modules/\.package-lock\.json"
    r"|/(?:top_level\.txt|namespace_packages\.txt)"
    r"|/(?:site|dist)-packages/(?:[^/]+\.pth|_distutils_hack/.*|_virtualenv\.py))"
)
"""Installers' records of a package. Programs read those of all packages to find one. Python runs
the ``.pth`` files of all distributions, and setuptools' hook, at every start."""

_GEM = re.compile(r".*/gems/[^/]+-\d[^/]*/")


def find_package_files(context: RuleContext, path: str) -> Iterable[Need | LimitMet]:
    """Find the files of a kept file's language package, and of those that it requires."""
    if context.root.kind(path) is not Kind.FILE or _RECORD.fullmatch(path):
        return
    index, added = get_package_index(context.root), context.get_done(Reason.LANGUAGE_PACKAGE)
    pending = [*index.library_owners(path)]
    while pending:
        package = pending.pop()
        key = (package.kind, package.name, package.records or package.files[:1])
        if key not in added:
            added.add(key)
            yield from _list_needs(context, package)
            pending += index.required_libraries(package)


def _list_needs(context: RuleContext, package: Package) -> Iterator[Need | LimitMet]:
    folder = find_common_folder(package.files)
    start = len(folder.rstrip("/")) + 1
    files = (
        file
        for file in package.files
        if not is_package_leaving(package.kind, _get_relative(file, start))
    )
    plain = _but_folders(context, files)
    return take_within(context, Reason.LANGUAGE_PACKAGE, folder, plain, BOUND)


def _get_relative(file: str, start: int) -> str:
    """The path of a file below its package's folder.

    A gem has other files elsewhere: its specification, and what was compiled for it.
    """
    match = _GEM.match(file)
    return file[match.end() if match else start :]


def _but_folders(context: RuleContext, files: Iterable[str]) -> Iterator[str]:
    for file in files:
        if context.root.kind(context.root.resolve(file, follow=False).path) is not Kind.DIRECTORY:
            yield file


def find_common_folder(files: Iterable[str]) -> str:
    """Find the deepest folder that all of these files are below."""
    folders = {file.rpartition("/")[0] for file in files}
    first, last = min(folders, default="/").split("/"), max(folders, default="/").split("/")
    length = next(
        (at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other),
        min(len(first), len(last)),
    )
    return "/".join(first[:length]) or "/"


RULE = ClosureRule(
    Reason.LANGUAGE_PACKAGE,
    find_package_files,
    "the rest of each language package of which a file is kept, and of the installed packages "
    "that it declares to require: by the metadata of pip, npm, RubyGems, CPAN, R, OTP, Composer "
    "and LuaRocks, and those packages of dpkg, apk and rpm that bring a language's libraries. "
    "Without tests, documentation, headers and static libraries; nothing of a package of more than "
    "256 MiB or 30,000 files",
    Keep.APP,
)
