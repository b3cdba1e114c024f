"""Where ``require`` looks up features: ``$LOAD_PATH``, then the folders of all installed gems."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.file_facts import is_source, read_source
from slimtrace.builder.closure.rules.name_pattern import Pattern, find_matches
from slimtrace.builder.closure.rules.ruby.ruby_source import RubyNames, read_names
from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext

_RUBY = re.compile(r"(?:.*/)?(?:ruby[\d.]*|libruby[-.\w]*\.so[\d.]*)")
_MAX_RUBY_BYTES = 16 << 20
_COMPILED = re.compile(rb"(/[\x21-\x7e]*ruby[\x21-\x7e]*)(?=\0)")
"""The directories of ``$LOAD_PATH`` that are compiled into Ruby, as C strings."""

_LIBRARY = re.compile(
    r"(?P<folder>(?P<base>.*/)ruby/(?:vendor_ruby/|site_ruby/)?(?P<version>\d+\.\d+\.\d+))/"
)
_SPECIFICATION = re.compile(r"(?P<home>.*)/specifications(?:/default)?/[^/]+\.gemspec")
_INSTALLED = re.compile(r"(?P<home>.*)/gems/[^/]+-\d[^/]*/")
_CHECKOUT = re.compile(r"(?P<top>.*/bundler/gems/[^/]+-[0-9a-f]{7,40})/")
_REQUIRE_PATHS = re.compile(r"\brequire_paths\s*=\s*\[(?P<paths>[^\]]*)\]")

SOURCES = (".rb", ".ru", ".rake", ".rbw")
ENDINGS = (".rb", ".so")


@dataclass(slots=True)
class LoadPath:
    """The folders in which a feature is searched.

    :ivar roots: folders of ``$LOAD_PATH``, each with its own path.
    :ivar gems: folders of installed gems, the newest version of a gem first.
    :ivar standard: own paths of the folders of Ruby itself and of the distribution.
    """

    roots: dict[str, str] = field(default_factory=dict)
    gems: dict[str, str] = field(default_factory=dict)
    standard: set[str] = field(default_factory=set)
    _by_name: dict[str, list[str]] = field(default_factory=dict)

    def find(self, context: RuleContext, feature: str) -> list[str]:
        """Find the files of a feature: those that were touched, or else the first.

        A gem can be newer than the same file of the standard library. So the first of both counts.
        """
        files = [*self._list_files(context, feature)]
        touched = [each for each in files if context.root.resolve(each).path in context.touched]
        if touched or not files:
            return touched
        in_gems = [each for each in files if each.startswith((*self.gems,))]
        others = [each for each in files if each not in in_gems]
        return [*others[:1], *in_gems[:1]]

    def find_fitting(self, context: RuleContext, pattern: Pattern) -> Iterator[str]:
        """Find the files of features of which a part is computed: ``"drb/#{name}"``."""
        top = pattern.folder.partition("/")[0]
        for root in self._by_name.get(top, ()) if top else ():
            for ending in ("",) if pattern.text.endswith(ENDINGS) else ENDINGS:
                text = f"{root}/{pattern.text}{ending}"
                yield from find_matches(context.root, Pattern(text, pattern.is_glob))

    def has_run_from(self, path: str) -> bool:
        """Whether a folder of Ruby itself contains the file at an own path."""
        return any(path.startswith(f"{root}/") for root in self.standard)

    def _list_files(self, context: RuleContext, feature: str) -> Iterator[str]:
        for root in self._by_name.get(_get_top_name(feature), ()):
            for name in list_file_names(feature):
                if _is_file(context, f"{root}/{name}"):
                    yield f"{root}/{name}"
                    break

    def index(self, context: RuleContext) -> None:
        """Index the folders by the names in them."""
        for root, own in {**self.roots, **self.gems}.items():
            for top in dict.fromkeys(_get_top_name(name) for name in context.root.listdir(own)):
                self._by_name.setdefault(top, []).append(root)


def list_file_names(feature: str) -> list[str]:
    """List the file names that ``require`` looks up for a feature."""
    if feature.endswith(".rb"):
        return [feature]
    if feature.endswith((".so", ".o")):
        return [f"{feature.rpartition('.')[0]}.so"]
    return [f"{feature}{ending}" for ending in ENDINGS]


def is_ruby_source(context: RuleContext, path: str) -> bool:
    """Whether the file at an own path is a Ruby source, by its ending or its first line."""
    return is_source(context, path, SOURCES, "ruby")


@lru_cache(maxsize=8192)
def read_ruby_names(context: RuleContext, path: str) -> RubyNames:
    """Find what a Ruby source names. Each source is read once."""
    return read_names(read_source(context, path), path)


@lru_cache(maxsize=4)
def get_load_path(context: RuleContext) -> LoadPath:
    """Find where Ruby searched in the runs, from what they touched.

    The folders come from RUBYLIB, from sources that add to ``$LOAD_PATH``, from Ruby itself and
    from the specifications of gems. A folder that none of these names is known by a touched file in
    it, whose name a touched source requires.
    """
    found = LoadPath()
    touched = sorted(context.touched)
    standard = dict.fromkeys(_list_standard_folders(context, touched))
    gems = dict.fromkeys(_list_gem_folders(context, touched, standard))
    found.gems = _resolve(context, gems)
    found.standard = {*_resolve(context, standard).values()}
    known = found.standard | {*found.gems.values()}
    own = [
        path for path in touched if path.endswith(SOURCES) and known.isdisjoint(_list_folders(path))
    ]
    app = dict.fromkeys(context.environment.read_search_path("RUBYLIB"))
    names = [read_ruby_names(context, path) for path in own]
    app.update(
        (each.text, None)
        for source in names
        for each in source.load_path
        if each.is_constant and each.text.startswith("/")
    )
    features = {feature for source in names for feature in source.features}
    app.update(dict.fromkeys(_infer_folders(own, features)))
    found.roots = _resolve(context, {**app, **standard})
    found.index(context)
    return found


def _list_standard_folders(context: RuleContext, touched: Iterable[str]) -> Iterator[str]:
    for path in touched:
        name = path.rpartition("/")[2]
        if "ruby" in name and _RUBY.fullmatch(path) and context.root.kind(path) is Kind.FILE:
            for match in _COMPILED.findall(context.root.head(path, _MAX_RUBY_BYTES)):
                yield match.decode()
    libraries = (_LIBRARY.match(path) for path in touched if "/ruby/" in path)
    for folder in sorted({match["folder"] for match in libraries if match}):
        yield folder
        for name in context.root.listdir(folder):
            if "-linux" in name:
                yield f"{folder}/{name}"


def _list_gem_folders(
    context: RuleContext, touched: Iterable[str], standard: Iterable[str]
) -> Iterator[str]:
    """List the folders of each gem from which ``require`` takes files."""
    homes = dict.fromkeys(
        [
            *context.environment.read_search_path("GEM_HOME"),
            *context.environment.read_search_path("GEM_PATH"),
        ]
    )
    checkouts: dict[str, None] = {}
    for path in touched:
        if "/gems/" in path or path.endswith(".gemspec"):
            if match := _SPECIFICATION.fullmatch(path) or _INSTALLED.match(path):
                homes[match["home"]] = None
            if match := _CHECKOUT.match(path):
                checkouts[match["top"]] = None
    homes.update(dict.fromkeys(_list_default_homes(context, standard)))
    yield from (f"{top}/lib" for top in checkouts)
    for home in homes:
        names = context.root.listdir(context.root.resolve(f"{home}/specifications").path)
        gems = [name.removesuffix(".gemspec") for name in names if name.endswith(".gemspec")]
        for gem in sorted(gems, key=_order_version, reverse=True):
            yield from _list_folders_of_gem(context, home, gem)


def _list_default_homes(context: RuleContext, standard: Iterable[str]) -> Iterator[str]:
    """List where RubyGems and Debian install gems, for the versions of Ruby that ran."""
    matches = [match for each in standard if (match := _LIBRARY.match(f"{each}/"))]
    bases = {match["base"] for match in matches}
    for version in sorted({match["version"] for match in matches}):
        yield f"/var/lib/gems/{version}"
        for base in sorted(bases):
            yield f"{base}ruby/gems/{version}"
        libs = [
            f"/usr/lib/{name}" for name in context.root.listdir("/usr/lib") if "-linux-" in name
        ]
        for top in ["/usr/share", *libs]:
            yield f"{top}/rubygems-integration/{version}"
            yield f"{top}/rubygems-integration/all"


def _list_folders_of_gem(context: RuleContext, home: str, gem: str) -> Iterator[str]:
    specification = f"{home}/specifications/{gem}.gemspec"
    match = _REQUIRE_PATHS.search(context.root.text(specification, 1 << 16))
    paths = re.findall(r"['\"]([^'\"]+)['\"]", match["paths"]) if match else ["lib"]
    yield from (f"{home}/gems/{gem}/{path}" for path in paths)
    for machine in context.root.listdir(f"{home}/extensions"):
        for version in context.root.listdir(f"{home}/extensions/{machine}"):
            yield f"{home}/extensions/{machine}/{version}/{gem}"


def _order_version(gem: str) -> tuple[str, list[tuple[int, str]]]:
    """The sort key of a gem's name with its version."""
    match = re.fullmatch(r"(.+?)-(\d[\w.]*)(?:-.*)?", gem)
    name, version = match.groups() if match else (gem, "")
    parts = version.split(".")
    return name, [(int(part), "") if part.isdigit() else (-1, part) for part in parts]


def _infer_folders(paths: Iterable[str], features: set[str]) -> Iterator[str]:
    """Find the folders in which sources lie whose names other sources require."""
    for path in paths:
        parts = path.removesuffix(".rb").split("/")
        for at in range(len(parts) - 1, 0, -1):
            if "/".join(parts[at:]) in features:
                yield "/".join(parts[:at]) or "/"


def _list_folders(path: str) -> Iterator[str]:
    """List the folders above a path, the nearest first."""
    while path := path.rpartition("/")[0]:
        yield path


def _resolve(context: RuleContext, folders: Iterable[str]) -> dict[str, str]:
    """Find the own paths of those folders that exist."""
    own = {folder: context.root.resolve(folder) for folder in folders}
    return {
        folder: to.path
        for folder, to in own.items()
        if to.exists and context.root.kind(to.path) is Kind.DIRECTORY
    }


def _get_top_name(name: str) -> str:
    return name.partition("/")[0].removesuffix(".rb").removesuffix(".so")


def _is_file(context: RuleContext, path: str) -> bool:
    own = context.root.resolve(path)
    return own.exists and context.root.kind(own.path) is Kind.FILE
