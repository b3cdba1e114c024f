"""The classes that PHP code uses, where autoloaders find them.

Composer's maps (getcomposer.org/doc/04-schema.md, autoload), and maps in other autoloaders.
"""

from __future__ import annotations

import re
from collections import ChainMap
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_file, is_source, read_source
from slimtrace.builder.closure.rules.php.class_names import find_class_names
from slimtrace.builder.closure.rules.php.include import SUFFIXES
from slimtrace.builder.closure.rules.php.php_source import read_map
from slimtrace.builder.model import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slimtrace.builder.closure.rule import RuleContext

_COMPOSER = re.compile(r"(?P<folder>.*/composer)/(?:autoload_\w+|ClassLoader|installed)\.php")
_MAP = re.compile(r"(?:.*/)?[\w.-]*(?:autoload|class_?map)[\w.-]*\.(?:php|inc)", re.IGNORECASE)


class _Autoloaders(NamedTuple):
    """The autoloaders of an app.

    :ivar classes: class in lower case → files.
    :ivar psr4: prefix → folders, for PSR-4.
    :ivar psr0: prefix → folders, for PSR-0.
    """

    classes: Mapping[str, list[str]]
    psr4: Mapping[str, list[str]]
    psr0: Mapping[str, list[str]]


def find_class_files(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the files of the classes that a PHP source uses, in any branch."""
    if not is_source(context, path, SUFFIXES, "php"):
        return
    autoloaders = _read_autoloaders(context)
    if not any(autoloaders) or _COMPOSER.fullmatch(path):
        return
    for name in sorted(find_class_names(read_source(context, path))):
        for file in _list_files(autoloaders, name):
            if is_file(context, file):
                yield Need(file, Reason.PHP_AUTOLOAD)
                break


def _list_files(autoloaders: _Autoloaders, name: str) -> Iterator[str]:
    """List where the autoloaders look for a class, in their order."""
    yield from autoloaders.classes.get(name.lower(), ())
    for length in _list_prefixes(name):
        for folder in autoloaders.psr4.get(name[:length], ()):
            yield f"{folder}/{name[length:].replace(chr(92), '/')}.php"
    space, slash, last = name.rpartition("\\")
    below = space.replace("\\", "/") + slash.replace("\\", "/") + last.replace("_", "/")
    for length in (*_list_prefixes(name, "\\_"), 0):
        for folder in autoloaders.psr0.get(name[:length], ()):
            yield f"{folder}/{below}.php"


def _list_prefixes(name: str, ends: str = "\\") -> list[int]:
    """List the lengths of a class name's prefixes, the longest first."""
    lengths = [at + 1 for at, letter in enumerate(name) if letter in ends]
    return [len(name), *reversed(lengths)] if len(ends) > 1 else lengths[::-1]


@lru_cache(maxsize=2)
def _read_autoloaders(context: RuleContext) -> _Autoloaders:
    """Read the maps of the autoloaders of which the runs read a file."""
    classes: list[dict[str, list[str]]] = []
    psr4: list[dict[str, list[str]]] = []
    psr0: list[dict[str, list[str]]] = []
    folders: dict[str, None] = {}
    for path in sorted(context.read):
        if match := _COMPOSER.fullmatch(path):
            folders[match["folder"]] = None
        elif _MAP.fullmatch(path):
            classes.append(_read(context, path))
    for folder in folders:
        classes.append(_read(context, f"{folder}/autoload_classmap.php"))
        psr4.append(_read(context, f"{folder}/autoload_psr4.php"))
        psr0.append(_read(context, f"{folder}/autoload_namespaces.php"))
    lower = [{name.lower(): files for name, files in each.items()} for each in classes]
    return _Autoloaders(ChainMap(*lower), ChainMap(*psr4), ChainMap(*psr0))


def _read(context: RuleContext, path: str) -> dict[str, list[str]]:
    return read_map(read_source(context, path), path)


RULE = ClosureRule(
    Reason.PHP_AUTOLOAD,
    find_class_files,
    "the classes that a PHP file uses or names, by Composer's class map, PSR-4 and PSR-0, and by "
    "the class maps of other autoloaders",
)
