"""Perl distributions that cpan, cpanm or Carton installed (ExtUtils::Packlist).

``auto/NAME/.packlist`` lists a distribution's files; ``.meta/NAME-VERSION/MYMETA.json``, which
cpanm writes, says what it requires (CPAN::Meta::Spec).
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from slimtrace.builder.model import Kind
from slimtrace.builder.packages.package import Package
from slimtrace.builder.root.tables import read_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.root.root import Root

_TOP = re.compile(
    r"(?P<top>.*/(?:lib(?:64)?/perl5(?:/(?:site|vendor)_perl)?|lib/(?:[^/]+-linux[^/]*/)?perl"
    r"|share/perl))/"
)
"""Where perl, local::lib and Carton install modules; a version and a machine can follow."""

_MAX_PACKLIST_BYTES = 1 << 22
_MAX_DEPTH = 8


class PerlPackages:
    """The distributions of one full image; each folder of modules is read once."""

    kind = "cpan"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._folder = lru_cache(maxsize=None)(self._read_folder)

    def owners(self, path: str) -> Iterator[Package]:
        """The distribution that lists the file."""
        match = _TOP.match(path) if "perl" in path else None
        if match and (found := self._folder(match["top"]).get(path)):
            yield found

    def required(self, package: Package) -> Iterator[Package]:
        """The distributions in the same folder that have the modules that it requires."""
        match = _TOP.match(package.records[0])
        by_file = self._folder(match["top"]) if match else {}
        by_module = {}
        for file, owner in by_file.items():
            if file.endswith(".pm"):
                by_module[_get_relative(file)] = owner
        for module in package.requires:
            if found := by_module.get(f"{module.replace('::', '/')}.pm"):
                yield found

    def _read_folder(self, top: str) -> Mapping[str, Package]:
        """The distributions in a folder of modules, by file."""
        found: dict[str, Package] = {}
        metadata = dict(self._list_metadata(top))
        for packlist in self._list_packlists(top):
            name = packlist.rpartition("/auto/")[2].removesuffix("/.packlist").replace("/", "-")
            package = self._read_packlist(top, packlist, name, metadata.get(name, {}))
            for file in package.files:
                found.setdefault(file, package)
        return found

    def _list_packlists(self, top: str) -> Iterator[str]:
        """List the packlists of distributions; perl's own is not below ``auto``."""
        for folder in self._list_machine_folders(top):
            yield from self._search(f"{folder}/auto", _MAX_DEPTH)

    def _list_machine_folders(self, top: str) -> Iterator[str]:
        """List a folder of modules, and those for a version or a machine in it and beside it."""
        tops = [top]
        if top.endswith("/share/perl"):  # Debian's: native modules are in lib/MACHINE/perl
            lib = f"{top.removesuffix('/share/perl')}/lib"
            tops += [f"{lib}/{name}/perl" for name in self._root.listdir(lib) if "-linux" in name]
        for each in tops:
            yield each
            for name in self._root.listdir(each):
                if re.match(r"5[.\d]*$", name) or "-linux" in name:
                    yield f"{each}/{name}"
                    for below in self._root.listdir(f"{each}/{name}"):
                        if "-linux" in below:
                            yield f"{each}/{name}/{below}"

    def _search(self, folder: str, depth: int) -> Iterator[str]:
        for name in self._root.listdir(folder):
            path = f"{folder}/{name}"
            if name == ".packlist":
                yield path
            elif depth and self._root.kind(path) is Kind.DIRECTORY:
                yield from self._search(path, depth - 1)

    def _read_packlist(
        self, top: str, packlist: str, name: str, metadata: Mapping[str, Any]
    ) -> Package:
        text = read_text(self._root, packlist, _MAX_PACKLIST_BYTES)
        listed = (line.partition(" type=")[0] for line in text.splitlines())
        files = [self._find_file(top, line) for line in listed if line.startswith("/")]
        version = str(metadata.get("version", ""))
        return Package(
            *("cpan", name, version, "", name, version),
            files=tuple(file for file in files if file),
            records=(packlist,),
            requires=_list_requirements(metadata),
        )

    def _find_file(self, top: str, listed: str) -> str:
        """Find a listed module. The folder may have been moved since the distribution came in.

        Programs and manual pages are no modules, and are not found.
        """
        match = _TOP.match(listed)
        if match is None:
            return ""
        if self._root.resolve(listed).exists:
            return listed
        return f"{top}/{listed[match.end() :]}"

    def _list_metadata(self, top: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for folder in self._list_machine_folders(top):
            for name in self._root.listdir(f"{folder}/.meta"):
                try:
                    found = orjson.loads(
                        read_text(self._root, f"{folder}/.meta/{name}/MYMETA.json")
                    )
                except ValueError:
                    continue
                if isinstance(found, dict):
                    yield name.rpartition("-")[0], found


def _list_requirements(metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """List the modules that a distribution requires when it runs (CPAN::Meta::Spec, PREREQS)."""
    found: Any = metadata.get("prereqs")
    for key in ("runtime", "requires"):
        found = found.get(key) if isinstance(found, dict) else None
    return tuple(found) if isinstance(found, dict) else ()


def _get_relative(file: str) -> str:
    """The path of a module below its folder, version and machine."""
    match = _TOP.match(file)
    rest = file[match.end() :] if match else file
    return re.sub(r"^(?:5[.\d]*/)?(?:[^/]*-linux[^/]*/)?", "", rest)
