"""Gems that RubyGems or Bundler installed: a folder and a specification for each.

The folders of Debian's gems, in ``rubygems-integration``, are gems too. Where Debian puts a gem's
files into ``vendor_ruby``, its specification and the names of the files show what is the gem's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.packages.languages.gem_version import (
    is_allowed,
    make_version_key,
    parse_dependencies,
    parse_files,
)
from slimtrace.builder.packages.package import Package
from slimtrace.builder.root.tables import read_text
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.root.root import Root

_GEM = re.compile(r"(.*)/gems/([^/]+)-([0-9][^/-]*(?:-[^/]+)?)/")
_CHECKOUT = re.compile(r"((.*/bundler)/gems/([^/]+)-([0-9a-f]{7,40}))/")
_HOME = re.compile(r"/specifications/|/bundler/gems/")
_STEM = re.compile(r"(?P<name>.+?)-(?P<version>[0-9][^/-]*(?:-[^/]+)?)\.gemspec")
_HOMES = (
    *("/usr/share/rubygems-integration", "/usr/lib/*/rubygems-integration", "/var/lib/gems"),
    *("/usr/lib/ruby/gems", "/usr/local/lib/ruby/gems", "/usr/lib64/ruby/gems"),
    *("/usr/share/gems", "/usr/share/ruby/gems"),
)
"""Where distributions, and Ruby's own installation, put the gems of each version of Ruby."""
_VENDOR = (
    "/usr/lib/ruby/vendor_ruby",
    "/usr/lib/*/ruby/vendor_ruby/*",
    "/usr/share/ruby/vendor_ruby",
)


class RubyPackages:
    """The gems of one full image; each is read once."""

    kind = "gem"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._gem = lru_cache(maxsize=None)(self._read_gem)
        self._checkout = lru_cache(maxsize=None)(self._read_checkout)
        self._installed = lru_cache(maxsize=None)(self._list_installed)
        self._homes: dict[str, None] = {}

    def owners(self, path: str) -> Iterator[Package]:
        """The gem in whose folder the file is."""
        if "/gems/" not in path:
            return
        checkout = _CHECKOUT.match(path)
        if checkout and (package := self._checkout(*checkout.groups())):
            yield package
        match = None if checkout else _GEM.match(path)
        if match and (package := self._gem(*match.groups())):
            self._homes[match[1]] = None
            yield package

    def required(self, package: Package) -> Iterator[Package]:
        """The gems of its runtime dependencies: of each the newest that is allowed."""
        own = _HOME.split(package.records[0], maxsplit=1)[0]
        homes = dict.fromkeys([own, *self._homes, *self._list_homes()])
        for requirement in package.requires:
            name, *limits = requirement.split("\n")
            for home in homes:
                versions = [
                    each for each in self._installed(home).get(name, ()) if is_allowed(each, limits)
                ]
                if versions and (
                    found := self._gem(home, name, max(versions, key=make_version_key))
                ):
                    yield found
                    break

    @lru_cache(maxsize=1)  # noqa: B019 -- it lives as long as the index
    def _list_homes(self) -> tuple[str, ...]:
        tops = [each for pattern in _HOMES for each in _expand(self._root, pattern)]
        versions = [f"{top}/{name}" for top in tops for name in self._root.listdir(top)]
        return (*versions, "/usr/local/bundle", "/usr/share/gems")

    def _list_installed(self, home: str) -> dict[str, list[str]]:
        """The versions of each gem with a specification in a home."""
        found: dict[str, list[str]] = {}
        folder = self._root.resolve(f"{home}/specifications")
        for name in self._root.listdir(folder.path) if folder.exists else ():
            if match := _STEM.fullmatch(name):
                found.setdefault(match["name"], []).append(match["version"])
        return found

    def _read_gem(self, home: str, name: str, version: str) -> Package | None:
        """Read ``HOME/gems/NAME-VERSION``, ``HOME/specifications`` and ``HOME/extensions``."""
        full = f"{name}-{version}"
        specification = f"{home}/specifications/{full}.gemspec"
        if not self._root.resolve(specification).exists:
            return None
        text = read_text(self._root, specification)
        files = [*list_files(self._root, f"{home}/gems/{full}")]
        if not files and "rubygems-integration" in home:
            files = [*self._list_vendor_files(name, text)]
        files = [specification, *files, *_list_extensions(self._root, home, full)]
        version, _, platform = version.partition("-")
        return Package(
            *("gem", name, version, platform, name, version, tuple(files), (specification,)),
            requires=parse_dependencies(text),
        )

    def _read_checkout(self, top: str, home: str, name: str, commit: str) -> Package | None:
        """Read a gem that Bundler checked out; it has its specification in its folder."""
        specs = [f"{top}/{each}" for each in self._root.listdir(top) if each.endswith(".gemspec")]
        if not specs:
            return None
        texts = [read_text(self._root, spec) for spec in specs]
        requires = dict.fromkeys(each for text in texts for each in parse_dependencies(text))
        files = [*list_files(self._root, top, ".git")]
        files += _list_extensions(self._root, f"{home}/gems", f"{name}-{commit}")
        return Package(
            *("gem", name, commit, "", name, commit, tuple(files), (*specs,)),
            requires=tuple(requires),
        )

    def _list_vendor_files(self, name: str, text: str) -> Iterator[str]:
        """Find the files of a gem that Debian put into vendor_ruby."""
        tops = [each for pattern in _VENDOR for each in _expand(self._root, pattern)]
        listed = [each.removeprefix("lib/") for each in parse_files(text) if each[:4] == "lib/"]
        stems = dict.fromkeys([name, name.replace("-", "/"), name.replace("-", "_")])
        for top in tops:
            for each in listed:
                yield f"{top}/{each}"
            for stem in () if listed else stems:
                yield f"{top}/{stem}.rb"
                yield from list_files(self._root, f"{top}/{stem}")


def _list_extensions(root: Root, home: str, full: str) -> Iterator[str]:
    extensions = f"{home}/extensions"
    for platform in root.listdir(extensions):
        for abi in root.listdir(f"{extensions}/{platform}"):
            yield from list_files(root, f"{extensions}/{platform}/{abi}/{full}")


def _expand(root: Root, pattern: str) -> list[str]:
    """Find the folders that fit a path in which ``*`` stands for any name."""
    found = [""]
    for part in pattern.split("/")[1:]:
        if part == "*":
            found = [f"{top}/{name}" for top in found for name in root.listdir(top)]
        else:
            found = [f"{top}/{part}" for top in found]
    own = (root.resolve(path) for path in found)
    return [each.path for each in own if each.exists]
