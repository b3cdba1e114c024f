"""What the files of a Ruby program imply: RubyGems' word on the gems that they are of."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from builder.closure.need import Need
from builder.closure.rule import Rule
from builder.closure.rules.files import below
from builder.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.closure.rule import World

_GEM = re.compile(r"(?P<base>.*)/(?:gems|extensions/[^/]+/[^/]+)/(?P<name>[^/]+-\d[^/]*)")
"""A gem's folder, or that of what was compiled for it (gem environment: GEM PATHS)."""

_GIT = re.compile(r"(?P<base>.*/bundler/gems)/(?P<name>[^/]+-[0-9a-f]{7,40})")
"""A gem that Bundler checked out."""

_RUBY = re.compile(r"(?P<base>.*/ruby)/(?P<version>\d+\.\d+\.\d+)")
"""The standard library's folder; the gems that come with it are in it like any file."""

_VENDOR = re.compile(r".*/ruby/vendor_ruby/(?:\d+\.\d+\.\d+/)?(?:[^/]+-linux[^/]*/)?(?P<file>.*)")
"""Where Debian puts gems: their specifications do not tell their files."""

_SPEC = ".gemspec"


def gemspec(world: World, path: str) -> Iterator[Need]:
    """The specification of the gem that a file is of, and what was compiled for the gem.

    RubyGems and Bundler take a gem for absent without them. Asked of the gem's folder: it is
    kept with any file in it.
    """
    if match := _GEM.fullmatch(path):
        yield from _gem(world, match["base"], match["name"])
    if match := _GIT.fullmatch(path):
        names = world.root.listdir(path)
        yield from (_need(f"{path}/{name}") for name in names if name.endswith(_SPEC))
        yield from _compiled(world, match["base"], match["name"])
    if match := _RUBY.fullmatch(path):
        folder = f"{match['base']}/gems/{match['version']}/specifications/default"
        yield from map(_need, below(world, folder))
    if match := _VENDOR.fullmatch(path):
        words = match["file"].removesuffix(".rb").removesuffix(".so").split("/")
        for length in range(1, len(words) + 1):
            for base, name in _debian(world).get(_bare("".join(words[:length])), ()):
                yield from _gem(world, base, name)


def _gem(world: World, base: str, name: str) -> Iterator[Need]:
    for folder in ("specifications", "specifications/default"):
        yield _need(f"{base}/{folder}/{name}{_SPEC}")
    yield from _compiled(world, base, name)


def _compiled(world: World, base: str, name: str) -> Iterator[Need]:
    """A gem's libraries, and the mark without which RubyGems takes it for not built."""
    extensions = f"{base}/extensions"
    for machine in world.root.listdir(extensions):
        for version in world.root.listdir(f"{extensions}/{machine}"):
            for file in below(world, f"{extensions}/{machine}/{version}/{name}"):
                if file.endswith((".so", ".rb", "/gem.build_complete")):
                    yield Need(file, Reason.RUBY_GEMSPEC, load=file.endswith(".so"))


@lru_cache(maxsize=4)
def _debian(world: World) -> dict[str, list[tuple[str, str]]]:
    """Gems by their bare names: the folder of their specification's, and name with version."""
    libs = [f"/usr/lib/{name}" for name in world.root.listdir("/usr/lib") if "-linux-" in name]
    found: dict[str, list[tuple[str, str]]] = {}
    for top in [f"{place}/rubygems-integration" for place in ("/usr/share", *libs)]:
        for base in [f"{top}/{version}" for version in world.root.listdir(top)]:
            for spec in world.root.listdir(f"{base}/specifications"):
                name, _, version = spec.removesuffix(_SPEC).rpartition("-")
                found.setdefault(_bare(name), []).append((base, f"{name}-{version}"))
    return found


def _bare(name: str) -> str:
    """``net-http`` is net/http.rb, ``activesupport`` active_support.rb."""
    return re.sub(r"[-_/]", "", name).lower()


def _need(path: str) -> Need:
    return Need(path, Reason.RUBY_GEMSPEC)


RULES = (Rule(Reason.RUBY_GEMSPEC, gemspec),)
