"""What the files of a Ruby program imply: RubyGems' word on the gems that they are of."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext

_GEM = re.compile(r"(?P<base>.*)/(?:gems|extensions/[^/]+/[^/]+)/(?P<name>[^/]+-\d[^/]*)/.+")
"""A file of a gem, or one that was compiled for it (gem environment: GEM PATHS)."""

_GIT = re.compile(r"(?P<base>.*/bundler/gems)/(?P<name>[^/]+-[0-9a-f]{7,40})/.+")
"""A file of a gem that Bundler checked out."""

_BUILT = "/gem.build_complete"
"""The mark without which RubyGems takes a gem for not built; it looks for those of all gems."""

_RUBY = re.compile(r"(?P<base>.*/ruby)/(?P<version>\d+\.\d+\.\d+)")
"""The standard library's folder; the gems that come with it are in it like any file."""

_VENDOR = re.compile(r".*/ruby/vendor_ruby/(?:\d+\.\d+\.\d+/)?(?:[^/]+-linux[^/]*/)?(?P<file>.*)")
"""Where Debian puts gems: their specifications do not tell their files."""

_SPEC = ".gemspec"


def find_gemspecs(context: RuleContext, path: str) -> Iterable[Need]:
    """The specification of the gem that a file is of, and what was compiled for the gem.

    RubyGems and Bundler take a gem for absent without them.
    """
    if match := _RUBY.fullmatch(path):
        folder = f"{match['base']}/gems/{match['version']}/specifications/default"
        return map(_need, list_files(context.root, folder))
    if context.root.kind(path) is not Kind.FILE or path.endswith(_BUILT):
        return ()
    if match := _GIT.fullmatch(path):
        return _checkout(context, match["base"], match["name"])
    if match := _GEM.fullmatch(path):
        return _gem(context, match["base"], match["name"])
    if match := _VENDOR.fullmatch(path):
        return _vendored(context, match["file"])
    return ()


@lru_cache(maxsize=1024)
def _gem(context: RuleContext, base: str, name: str) -> tuple[Need, ...]:
    folders = ("specifications", "specifications/default")
    specs = (_need(f"{base}/{folder}/{name}{_SPEC}") for folder in folders)
    return (*specs, *_compiled(context, base, name))


@lru_cache(maxsize=1024)
def _checkout(context: RuleContext, base: str, name: str) -> tuple[Need, ...]:
    top = f"{base}/{name}"
    names = [file for file in context.root.listdir(top) if file.endswith(_SPEC)]
    return (*(_need(f"{top}/{file}") for file in names), *_compiled(context, base, name))


def _vendored(context: RuleContext, file: str) -> Iterator[Need]:
    """Of Debian's gems those whose name the file's path begins with."""
    words = file.removesuffix(".rb").removesuffix(".so").split("/")
    for length in range(1, len(words) + 1):
        for base, name in _debian(context).get(_bare("".join(words[:length])), ()):
            yield from _gem(context, base, name)


def _compiled(context: RuleContext, base: str, name: str) -> Iterator[Need]:
    """A gem's libraries, and the mark that they were built."""
    extensions = f"{base}/extensions"
    for machine in context.root.listdir(extensions):
        for version in context.root.listdir(f"{extensions}/{machine}"):
            for file in list_files(context.root, f"{extensions}/{machine}/{version}/{name}"):
                if file.endswith((".so", ".rb", _BUILT)):
                    yield Need(file, Reason.RUBY_GEMSPEC, load=file.endswith(".so"))


@lru_cache(maxsize=4)
def _debian(context: RuleContext) -> dict[str, list[tuple[str, str]]]:
    """Gems by their bare names: the folder of their specification's, and name with version."""
    libs = [f"/usr/lib/{name}" for name in context.root.listdir("/usr/lib") if "-linux-" in name]
    found: dict[str, list[tuple[str, str]]] = {}
    for top in [f"{place}/rubygems-integration" for place in ("/usr/share", *libs)]:
        for base in [f"{top}/{version}" for version in context.root.listdir(top)]:
            for spec in context.root.listdir(f"{base}/specifications"):
                name, _, version = spec.removesuffix(_SPEC).rpartition("-")
                found.setdefault(_bare(name), []).append((base, f"{name}-{version}"))
    return found


def _bare(name: str) -> str:
    """``net-http`` is net/http.rb, ``activesupport`` active_support.rb."""
    return re.sub(r"[-_/]", "", name).lower()


def _need(path: str) -> Need:
    return Need(path, Reason.RUBY_GEMSPEC)


RULES = (ClosureRule(Reason.RUBY_GEMSPEC, find_gemspecs),)
