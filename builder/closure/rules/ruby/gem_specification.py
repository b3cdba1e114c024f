"""The files that a Ruby program's files imply: the specifications of their gems."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
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
"""RubyGems treats a gem without this file as not built. It checks the files of all gems."""

_RUBY = re.compile(r"(?P<base>.*/ruby)/(?P<version>\d+\.\d+\.\d+)")
"""The standard library's directory. The files of its default gems are directly in it."""

_VENDOR = re.compile(r".*/ruby/vendor_ruby/(?:\d+\.\d+\.\d+/)?(?:[^/]+-linux[^/]*/)?(?P<file>.*)")
"""Where Debian puts gems: their specifications do not list their files."""

_SPEC = ".gemspec"
_SPEC_FILE = re.compile(r"(?P<base>.*)/specifications/(?P<name>[^/]+)\.gemspec")


def find_gemspecs(context: RuleContext, path: str) -> Iterable[Need]:
    """Find the specification of a file's gem, and the libraries that were compiled for the gem.

    Without them, RubyGems and Bundler treat the gem as not installed.
    """
    if match := _RUBY.fullmatch(path):
        folder = f"{match['base']}/gems/{match['version']}/specifications/default"
        return map(_make_need, list_files(context.root, folder))
    if context.root.kind(path) is not Kind.FILE or path.endswith(_BUILT):
        return ()
    if path.endswith(_SPEC) and (match := _SPEC_FILE.fullmatch(path)):
        return map(_make_need, _find_marks(context, match["base"], match["name"]))
    return _find_files_of_gem(context, path)


def _find_files_of_gem(context: RuleContext, path: str) -> Iterable[Need]:
    if match := _GIT.fullmatch(path):
        return _find_checkout_files(context, match["base"], match["name"])
    if match := _GEM.fullmatch(path):
        return _find_gem_files(context, match["base"], match["name"])
    if match := _VENDOR.fullmatch(path):
        return _find_debian_files(context, match["file"])
    return ()


@lru_cache(maxsize=1024)
def _find_gem_files(context: RuleContext, base: str, name: str) -> tuple[Need, ...]:
    folders = ("specifications", "specifications/default")
    specs = (_make_need(f"{base}/{folder}/{name}{_SPEC}") for folder in folders)
    return (*specs, *_find_extensions(context, base, name))


@lru_cache(maxsize=1024)
def _find_checkout_files(context: RuleContext, base: str, name: str) -> tuple[Need, ...]:
    top = f"{base}/{name}"
    names = [file for file in context.root.listdir(top) if file.endswith(_SPEC)]
    specs = (_make_need(f"{top}/{file}") for file in names)
    return (*specs, *_find_extensions(context, base, name))


def _find_debian_files(context: RuleContext, file: str) -> Iterator[Need]:
    """Find the files of those Debian gems with whose name the file's path begins."""
    parts = file.removesuffix(".rb").removesuffix(".so").split("/")
    for length in range(1, len(parts) + 1):
        for base, name in _list_debian_gems(context).get(_normalize("".join(parts[:length])), ()):
            yield from _find_gem_files(context, base, name)


def _find_extensions(context: RuleContext, base: str, name: str) -> Iterator[Need]:
    """Find the libraries that were compiled for a gem, and the file that marks it as built."""
    extensions = f"{base}/extensions"
    for machine in context.root.listdir(extensions):
        for version in context.root.listdir(f"{extensions}/{machine}"):
            for file in list_files(context.root, f"{extensions}/{machine}/{version}/{name}"):
                if file.endswith((".so", ".rb", _BUILT)):
                    yield Need(file, Reason.RUBY_GEMSPEC, load=file.endswith(".so"))


def _find_marks(context: RuleContext, base: str, name: str) -> Iterator[str]:
    """Find the files that mark a gem as built: without them RubyGems warns of its specification."""
    extensions = f"{base}/extensions"
    for machine in context.root.listdir(extensions):
        for version in context.root.listdir(f"{extensions}/{machine}"):
            yield f"{extensions}/{machine}/{version}/{name}{_BUILT}"


@lru_cache(maxsize=4)
def _list_debian_gems(context: RuleContext) -> dict[str, list[tuple[str, str]]]:
    """List gems by normalized name: their base directory, and name with version."""
    libs = [f"/usr/lib/{name}" for name in context.root.listdir("/usr/lib") if "-linux-" in name]
    gems: dict[str, list[tuple[str, str]]] = {}
    for top in [f"{folder}/rubygems-integration" for folder in ("/usr/share", *libs)]:
        for base in [f"{top}/{version}" for version in context.root.listdir(top)]:
            for spec in context.root.listdir(f"{base}/specifications"):
                name, _, version = spec.removesuffix(_SPEC).rpartition("-")
                gems.setdefault(_normalize(name), []).append((base, f"{name}-{version}"))
    return gems


def _normalize(name: str) -> str:
    """The gem ``net-http`` has net/http.rb, the gem ``activesupport`` active_support.rb."""
    return re.sub(r"[-_/]", "", name).lower()


def _make_need(path: str) -> Need:
    return Need(path, Reason.RUBY_GEMSPEC)
