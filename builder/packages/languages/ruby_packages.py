"""Gems that RubyGems or Bundler installed: a folder and a specification for each."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.packages.package import Package
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.root.root import Root

_GEM = re.compile(r"(.*)/gems/([^/]+)-([0-9][^/-]*(?:-[^/]+)?)/")


class RubyPackages:
    """The gems of one full image; each is read once."""

    kind = "gem"

    def __init__(self, root: Root) -> None:
        self._root = root
        self._gem = lru_cache(maxsize=None)(self._read_gem)

    def owners(self, path: str) -> Iterator[Package]:
        """The gem in whose folder the file is."""
        match = _GEM.match(path)
        if match and (package := self._gem(*match.groups())):
            yield package

    def required(self, package: Package) -> Iterator[Package]:  # noqa: ARG002 -- see below
        """No gems: dependencies are not read yet."""
        return iter(())

    def _read_gem(self, home: str, name: str, version: str) -> Package | None:
        """Read ``HOME/gems/NAME-VERSION``, ``HOME/specifications`` and ``HOME/extensions``."""
        full = f"{name}-{version}"
        specification = f"{home}/specifications/{full}.gemspec"
        if not self._root.resolve(specification).exists:
            return None
        files = [specification, *list_files(self._root, f"{home}/gems/{full}")]
        extensions = f"{home}/extensions"
        for platform in self._root.listdir(extensions):
            for abi in self._root.listdir(f"{extensions}/{platform}"):
                files += list_files(self._root, f"{extensions}/{platform}/{abi}/{full}")
        version, _, platform = version.partition("-")
        records = (specification,)
        return Package("gem", name, version, platform, name, version, tuple(files), records)
