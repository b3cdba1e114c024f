"""Libraries that a registry names: a file that lists the components or plugins of a program.

A program that reads such a file may load each library that it names. Only the file knows when.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.loader import LD_CACHE
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.natives.library_folder import (
    is_language_folder,
    is_library,
    is_named_as_library,
    is_plugin_folder,
)
from slimtrace.builder.closure.rules.natives.plugin_cost import PluginBounds, bound_plugins
from slimtrace.builder.model import Keep, Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import LimitMet, RuleContext

BOUNDS = PluginBounds(files=512, library_bytes=16 << 20, folder_bytes=96 << 20)

_SUFFIXES = (
    *(".xml", ".xcd", ".rdb", ".json", ".toml", ".yaml", ".yml", ".properties", ".plist"),
    *(".ini", ".conf", ".cfg", ".cnf", ".config", ".cache", ".modules", ".plugins"),
)
_PACKAGE_DATABASE = re.compile(r"/(?:var/lib|lib|usr/lib)/(?:dpkg|apk|rpm|sysimage)/")
"""Package managers list the files of all programs."""
_MAX_REGISTRY_BYTES = 16 << 20
_MIN_KEPT_LIBRARIES = 2
"""A file that names one kept library of a folder may be its settings; two are a list."""
_LIBRARY = re.compile(rb"(?<![\w.+@-])[\w.+@-]+\.so(?:\.[0-9]+)*(?![\w.+@-])", re.ASCII)


def find_registered_libraries(context: RuleContext, path: str) -> Iterable[Need | LimitMet]:
    """Find the libraries in folders of which a read registry names several kept libraries."""
    if not path.endswith(_SUFFIXES) or path not in context.read:
        return
    for folder, plugins in _read_registry(context, path).items():
        yield from bound_plugins(context, Reason.PLUGIN_REGISTRY, folder, plugins, BOUNDS)


@lru_cache(maxsize=1)
def list_registered(context: RuleContext) -> frozenset[str]:
    """List the own paths of all libraries that a read registry names."""
    registries = (path for path in context.read if path.endswith(_SUFFIXES))
    folders = (_read_registry(context, path) for path in registries)
    return frozenset(own for each in folders for found in each.values() for _, own in found)


@lru_cache(maxsize=4096)
def _read_registry(context: RuleContext, path: str) -> Mapping[str, list[tuple[str, str]]]:
    """Read the libraries that a registry names by their folder: their paths and own paths."""
    names = _read_names(context, path)
    kept: dict[str, int] = defaultdict(int)
    for name in names:
        for folder in _index_kept_libraries(context).get(name, ()):
            kept[folder] += 1
    folders = sorted(folder for folder, count in kept.items() if count >= _MIN_KEPT_LIBRARIES)
    return {
        folder: [*_list_libraries(context, folder, names)]
        for folder in folders
        if is_plugin_folder(context, folder)
    }


def _list_libraries(
    context: RuleContext, folder: str, names: Iterable[str]
) -> Iterator[tuple[str, str]]:
    for name in sorted(names):
        own = context.root.resolve(f"{folder}/{name}")
        if own.exists and is_library(context, own.path):
            yield f"{folder}/{name}", own.path


def _read_names(context: RuleContext, path: str) -> frozenset[str]:
    """Read the names of libraries in a file, without the folders or macros before them.

    The databases of package managers and the loader's cache name the libraries of all programs.
    """
    if path == LD_CACHE or _PACKAGE_DATABASE.match(path) or is_language_folder(path):
        return frozenset()
    if context.root.kind(path) is not Kind.FILE:
        return frozenset()
    data = context.root.head(path, _MAX_REGISTRY_BYTES)
    if b".so" not in data:
        return frozenset()
    return frozenset(match.group().decode("ascii") for match in _LIBRARY.finditer(data))


@lru_cache(maxsize=1)
def _index_kept_libraries(context: RuleContext) -> Mapping[str, list[str]]:
    """Index the folders of kept libraries by the libraries' names."""
    folders: dict[str, list[str]] = {}
    for path in context.kept:
        if is_named_as_library(path):
            folder, _, name = path.rpartition("/")
            folders.setdefault(name, []).append(folder)
    return folders


RULE = ClosureRule(
    Reason.PLUGIN_REGISTRY,
    find_registered_libraries,
    "the libraries that a registry names: an XML, JSON, INI or similar file that a run read and "
    "that names several kept libraries of a folder. Bounded as `plugin-sibling` is, but one that "
    "alone needs more than 16 MiB of libraries from elsewhere is left out",
    Keep.APP,
)
