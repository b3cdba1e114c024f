"""What Ruby sources load by name in code that no run executed (Kernel#require, Module#autoload)."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rules.file_facts import is_file
from slimtrace.builder.closure.rules.name_pattern import Pattern, find_matches, is_near
from slimtrace.builder.closure.rules.ruby.load_path import (
    ENDINGS,
    get_load_path,
    is_ruby_source,
    list_file_names,
    read_ruby_names,
)
from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext

_TOOLS = re.compile(
    r"/(?:irb|rdoc|ri|debug|reline|racc/(?!parser|cparse)|minitest|test/unit|bundler|rake|rbs|un"
    r"|mkmf|typeprof|pry|byebug|rspec|simplecov|coverage|profile|rubygems/(?:commands|command_\w+"
    r"|package|ext|security|request|source|dependency_installer|resolver|installer|indexer|server|test_\w+|core_ext"
    r"|uninstaller|gemcutter\w+|psych_\w+|doctor|validator|rdoc|spec_fetcher|remote_fetcher))"
    r"(?:[/.]|_)"
)
"""Tools for developers and for installing gems. Libraries load them in code that services do not
run."""

_GEM = re.compile(r"/gems/[^/]+-[\da-f][^/]*$")

_STRING = re.compile(rb"\0([a-z][a-z0-9_]*(?:/[a-z0-9_]+)+(?:\.rb|\.so)?)(?=\0)")
"""A feature that an extension names in its code (rb_require)."""
_MAX_EXTENSION_BYTES = 8 << 20


def find_required_features(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the features that the file at an own path loads, in any branch."""
    if path.endswith(".so"):
        files = _find_extension_features(context, path)
    elif is_ruby_source(context, path):
        files = _find_source_features(context, path)
    else:
        return
    is_tool = path in context.touched and _TOOLS.search(path)
    may_use_tools = is_tool or not is_library(context, path)
    implied = context.get_done(Reason.RUBY_REQUIRE)
    for file in sorted({*files} - implied):
        if may_use_tools or not _TOOLS.search(file) or file in context.touched:
            implied.add(file)
            yield _make_need(file, Reason.RUBY_REQUIRE)


def find_computed_paths(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the files whose paths a Ruby source puts together from its own folder.

    A path in full counts, and what fits one of which a part is computed. A folder counts with all
    its files, unless the source itself lies below it.
    """
    if not is_ruby_source(context, path):
        return
    for pattern in sorted(
        each for each in read_ruby_names(context, path).paths if is_near(path, each.text)
    ):
        for file in _find_path_files(context, path, pattern):
            yield _make_need(file, Reason.RUBY_PATH)


def find_encodings(context: RuleContext, path: str) -> Iterable[Need]:
    """Find all encodings and converters of a Ruby: programs name them at run time."""
    if not path.endswith(("/enc/encdb.so", "/enc/trans/transdb.so")):
        return ()
    files = list_files(context.root, path.rpartition("/")[0])
    return [_make_need(file, Reason.RUBY_ENCODING) for file in files if file.endswith(".so")]


def is_library(context: RuleContext, path: str) -> bool:
    """Whether a file at an own path belongs to Ruby or to a gem, and not to the app."""
    return _is_library_folder(context, path.rpartition("/")[0])


@lru_cache(maxsize=4096)
def _is_library_folder(context: RuleContext, folder: str) -> bool:
    if not folder:
        return False
    if folder in get_load_path(context).standard or _GEM.search(folder):
        return True
    return _is_library_folder(context, folder.rpartition("/")[0])


def _find_source_features(context: RuleContext, path: str) -> Iterator[str]:
    names, load_path = read_ruby_names(context, path), get_load_path(context)
    folder = path.rpartition("/")[0]
    for name in names.relative:
        yield from _find_by_path(context, f"{folder}/{name}")
    for feature in sorted(names.features):
        if feature.startswith(("./", "../")):
            yield from _find_by_path(context, context.environment.make_absolute(feature))
        elif feature.startswith("/"):
            yield from _find_by_path(context, feature)
        else:
            yield from load_path.find(context, feature)
    for pattern in names.patterns:
        yield from load_path.find_fitting(context, pattern)


def _find_extension_features(context: RuleContext, path: str) -> Iterator[str]:
    load_path = get_load_path(context)
    if not load_path.roots or not is_library(context, path):
        return
    for name in {*_STRING.findall(context.root.head(path, _MAX_EXTENSION_BYTES))}:
        yield from load_path.find(context, name.decode())


def _find_by_path(context: RuleContext, path: str) -> Iterator[str]:
    """Find what ``require`` loads for an absolute path, with an ending or without."""
    names = [path, *list_file_names(path)]
    yield from (name for name in names if is_file(context, name))


def _find_path_files(context: RuleContext, path: str, pattern: Pattern) -> Iterable[str]:
    if not pattern.is_constant:
        is_ambiguous = pattern.folder in get_load_path(context).roots
        endings = ("",) if is_ambiguous or pattern.is_glob else ("", *ENDINGS)
        fitting = {Pattern(f"{pattern.text}{ending}", pattern.is_glob) for ending in endings}
        return (
            ()
            if is_ambiguous
            else [f for each in fitting for f in find_matches(context.root, each)]
        )
    own = context.root.resolve(pattern.text)
    if own.exists and context.root.kind(own.path) is Kind.DIRECTORY:
        is_above = path.startswith(f"{own.path.rstrip('/')}/")
        return () if is_above else list_files(context.root, pattern.text)
    return _find_by_path(context, pattern.text)


def _make_need(path: str, reason: Reason) -> Need:
    return Need(path, reason, load=path.endswith(".so"))
