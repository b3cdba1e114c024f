"""Finds the packages of languages' own installers, upwards from a file in them.

Python: ``RECORD`` (packaging.python.org, "Recording installed projects") or ``installed-files.txt``
beside the modules. Node: the package's folder below ``node_modules``. Ruby: the gem's folder and
its specification.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import orjson

from slimtrace.builder.model import Kind
from slimtrace.builder.packages.package import Package, parse_installed_files, parse_record
from slimtrace.builder.root.tables import read_text
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.root.root import Root

_SITE = re.compile(r"(.*/(?:site|dist)-packages)/")
_MODULE = re.compile(r"(.*/node_modules/((?:@[^/]+/)?[^/@.][^/]*))/")
_GEM = re.compile(r"(.*)/gems/([^/]+)-([0-9][^/-]*(?:-[^/]+)?)/")
_MAX_RECORD_BYTES = 1 << 26


class LanguagePackages:
    """The language packages of one full image; each is read once."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._site = lru_cache(maxsize=None)(self._read_site)
        self._folder = lru_cache(maxsize=None)(self._read_folder)

    def owners(self, path: str) -> Iterator[Package]:
        """The language packages that the file at an own path belongs to."""
        site = _SITE.match(path)
        if site and (found := self._site(site.group(1)).get(path)):
            yield found
        for pattern in (_MODULE, _GEM):
            match = pattern.match(path)
            if match and (package := self._folder(pattern is _GEM, *match.groups())):
                yield package

    def _read_site(self, site: str) -> Mapping[str, Package]:
        by_file: dict[str, Package] = {}
        for name in self._root.listdir(site):
            if name.endswith((".dist-info", ".egg-info")):
                package = _read_python(self._root, site, name)
                for file in package.files if package else ():
                    by_file.setdefault(file, package)  # type: ignore[arg-type]
        return by_file

    def _read_folder(self, gem: bool, *groups: str) -> Package | None:
        return _read_ruby(self._root, *groups) if gem else _read_node(self._root, *groups)


def _read_python(root: Root, site: str, name: str) -> Package | None:
    """Read a Python distribution; None if it has no list of its files."""
    metadata = f"{site}/{name}"
    record = read_text(root, f"{metadata}/RECORD", _MAX_RECORD_BYTES)
    installed = (
        "" if record else read_text(root, f"{metadata}/installed-files.txt", _MAX_RECORD_BYTES)
    )
    files = parse_record(record, site) or parse_installed_files(installed, metadata)
    if not files:
        return None
    text = read_text(root, f"{metadata}/METADATA") or read_text(root, f"{metadata}/PKG-INFO")
    found = dict(re.findall(r"^(Name|Version):\s*(\S+)", text.partition("\n\n")[0], re.MULTILINE))
    stem = name.rpartition(".")[0].split("-")
    project, version = found.get("Name", stem[0]), found.get("Version", "".join(stem[1:2]))
    return Package("pypi", project, version, source=project, files=files, records=(metadata,))


def _read_node(root: Root, folder: str, name: str) -> Package | None:
    try:
        manifest = orjson.loads(read_text(root, f"{folder}/package.json"))
    except ValueError:
        return None
    if not isinstance(manifest, dict) or root.kind(folder) is not Kind.DIRECTORY:
        return None
    package, version = str(manifest.get("name", name)), str(manifest.get("version", ""))
    files = tuple(list_files(root, folder, "node_modules"))
    return Package("npm", package, version, source=package, files=files)


def _read_ruby(root: Root, home: str, name: str, version: str) -> Package | None:
    """Read a gem: ``HOME/gems/NAME-VERSION``, ``HOME/specifications`` and ``HOME/extensions``."""
    full = f"{name}-{version}"
    specification = f"{home}/specifications/{full}.gemspec"
    if not root.resolve(specification).exists:
        return None
    files = [specification, *list_files(root, f"{home}/gems/{full}")]
    extensions = f"{home}/extensions"
    for platform in root.listdir(extensions):
        for abi in root.listdir(f"{extensions}/{platform}"):
            files += list_files(root, f"{extensions}/{platform}/{abi}/{full}")
    version, _, platform = version.partition("-")
    return Package("gem", name, version, platform, name, version, tuple(files), (specification,))
