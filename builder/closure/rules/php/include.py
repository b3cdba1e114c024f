"""The files that PHP includes by constant names, and those that it names by its own place."""

from __future__ import annotations

import posixpath
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.app.bounds import Bound, take_within
from slimtrace.builder.closure.rules.app.leavings import is_leaving
from slimtrace.builder.closure.rules.file_facts import is_file, is_source, read_source
from slimtrace.builder.closure.rules.name_components import find_other_files
from slimtrace.builder.closure.rules.name_pattern import UNKNOWN, Pattern
from slimtrace.builder.closure.rules.php.php_source import (
    PhpNames,
    read_constants,
    read_php_names,
)
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.root.walk import list_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slimtrace.builder.closure.rule import LimitMet, RuleContext
    from slimtrace.builder.closure.rules.path_values import Values

SUFFIXES = (".php", ".inc", ".phtml", ".php5", ".php7", ".php8", ".module", ".phar")

BOUND = Bound(files=4000, size=64 << 20)
"""For one folder that a source names."""

_INCLUDE_PATH = ("/usr/share/php", "/usr/share/pear", "/usr/local/lib/php")
"""Defaults of include_path: Debian's and Alpine's, Fedora's, that of PHP's own sources."""


def find_included_files(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the files that a PHP source includes by constant names, in any branch."""
    for name in sorted(_read_names(context, path).included):
        if UNKNOWN not in name:
            for file in _list_candidates(context, path, name):
                if is_file(context, file):
                    yield Need(file, Reason.PHP_INCLUDE)


def find_named_files(context: RuleContext, path: str) -> Iterator[Need | LimitMet]:
    """Find what a PHP source includes by names with a computed part, and names by its own place.

    A folder that is named in full is taken with all that is in it: template engines are given
    folders.
    """
    names = _read_names(context, path)
    for name in sorted(names.included):
        is_named = UNKNOWN in name and not name.startswith(UNKNOWN)
        candidates = _list_candidates(context, path, name) if is_named else []
        for candidate in candidates:
            yield from _find_matching(context, path, candidate)
    for name in sorted(names.paths):
        text = posixpath.normpath(name)
        if UNKNOWN in text:
            yield from _find_matching(context, path, text)
            continue
        own = context.root.resolve(text)
        if own.exists and context.root.kind(own.path) is Kind.FILE:
            yield Need(text, Reason.PHP_NAMED_FILE)
        elif own.exists and not path.startswith(f"{own.path.rstrip('/')}/"):
            yield from _take(context, text, list_files(context.root, text, "node_modules"))


@lru_cache(maxsize=64)
def _read_names(context: RuleContext, path: str) -> PhpNames:
    if not is_source(context, path, SUFFIXES, "php"):
        return PhpNames()
    return read_php_names(read_source(context, path), path, _collect_constants(context))


@lru_cache(maxsize=2)
def _collect_constants(context: RuleContext) -> Mapping[str, Values]:
    """The constants that the sources define which the runs read; some are made of others."""
    found: dict[str, Values] = {}
    sources = [path for path in sorted(context.read) if path.endswith(SUFFIXES)]
    for _ in range(2):
        for path in sources:
            for name, values in read_constants(read_source(context, path), path, found).items():
                found.setdefault(name, values)
    return found


def _list_candidates(context: RuleContext, path: str, name: str) -> list[str]:
    """List where PHP looks for a file: include_path, then beside the source and in the cwd."""
    if name.startswith("/"):
        return [posixpath.normpath(name)]
    folder = path.rpartition("/")[0]
    folders = [context.environment.cwd, folder]
    if not name.startswith(("./", "../")):
        folders += _INCLUDE_PATH
    return [posixpath.normpath(f"{each}/{name}") for each in dict.fromkeys(folders)]


def _find_matching(context: RuleContext, path: str, text: str) -> Iterator[Need | LimitMet]:
    """Find what fits a name. Where its constant part names no other folder, only sources do."""
    pattern = Pattern(text)
    files = find_other_files(context.root, pattern, path, SUFFIXES)
    yield from _take(context, pattern.folder, files)


def _take(context: RuleContext, folder: str, files: Iterable[str]) -> Iterator[Need | LimitMet]:
    chosen = (file for file in files if not is_leaving(file[len(folder) + 1 :]))
    return take_within(context, Reason.PHP_NAMED_FILE, folder, chosen, BOUND)


INCLUDE_RULE = ClosureRule(
    Reason.PHP_INCLUDE,
    find_included_files,
    "what a PHP file includes or requires by constants: `'inc/x.php'` in the include path or "
    "beside it, `__DIR__ . '/x.php'`, `ROOT . '/x.php'` with a constant that the app defines",
)
NAMED_FILE_RULE = ClosureRule(
    Reason.PHP_NAMED_FILE,
    find_named_files,
    'what a PHP file includes by a name with a constant part (`"pages/$page.php"`), or names by '
    "its own place: all that fits, and all files of a folder that is named in full. Nothing of a "
    "folder of more than 64 MiB or 4,000 files",
    Keep.APP,
)
