"""Folders of plugins of which no run loaded one, but whose path a kept program has as a constant.

That is less evidence than a loaded plugin, so the program and the plugins must be of one package,
or both of none, and less is added.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.constants import read_path_constants
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.natives.library_folder import (
    is_language_folder,
    is_named_as_library,
    is_plugin_folder,
    list_libraries,
)
from slimtrace.builder.closure.rules.natives.plugin_cost import PluginBounds, bound_plugins
from slimtrace.builder.model import Keep, Kind, Reason
from slimtrace.builder.packages.index import get_package_index

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.need import Need
    from slimtrace.builder.closure.rule import LimitMet, RuleContext

BOUNDS = PluginBounds(files=128, library_bytes=4 << 20, folder_bytes=16 << 20)

_CONVERTERS = "/gconv"
"""glibc names the folder of its converters; which of them count is known by the rule ``gconv``."""
_PARTS = ("/lib", "/plugin", "/module", "/ext")
"""What the path of a folder with plugins has, where no package's list of files can be asked."""


def find_named_folders(context: RuleContext, path: str) -> Iterable[Need | LimitMet]:
    """Find the plugins in folders that a program or library has as a constant.

    Only files that were touched, or that touched files need to load, count.

    :raises SlimtraceError: a package database cannot be read.
    """
    elf = context.loader.elves.read(path) if path in context.kept else None
    if elf is None or not elf.needed or is_language_folder(path):
        return  # a static program loads none
    for folder in _find_folders(context, path):
        plugins = [
            (lookup, own)
            for lookup, own in list_libraries(context, folder)
            if (other := context.loader.elves.read(own)) and other.has_same_abi(elf)
        ]
        yield from bound_plugins(context, Reason.PLUGIN_FOLDER, folder, plugins, BOUNDS)


def _find_folders(context: RuleContext, path: str) -> list[str]:
    """Find the folders of unloaded plugins that a program names: of its package, or of none."""
    folders = _index_package_folders(context)
    owner = get_package_index(context.root).system_owner(path)
    if owner is not None:
        own = folders.get((owner.name, owner.architecture), ())
        return [folder for folder in own if folder in _list_named(context, path, folder)]
    named = {folder for part in _PARTS for folder in _list_named(context, path, part)}
    named.difference_update(*folders.values())
    return [folder for folder in sorted(named) if _is_unloaded(context, folder)]


def _list_named(context: RuleContext, path: str, folder: str) -> set[str]:
    """List the own paths of folders among the constants of a file that have the same last name."""
    part = folder[folder.rfind("/") :]
    constants = read_path_constants(context.root, path, part.encode(errors="surrogateescape"))
    found = (context.root.resolve(each) for each in constants if len(each) > len(part))
    return {
        own.path for own in found if own.exists and context.root.kind(own.path) is Kind.DIRECTORY
    }


@lru_cache(maxsize=1)
def _index_package_folders(context: RuleContext) -> dict[tuple[str, str], tuple[str, ...]]:
    """Index the folders of unloaded plugins by the name and architecture of their package."""
    index = get_package_index(context.root)
    found = {}
    for package in index.system:
        listed = {file.rpartition("/")[0] for file in package.files if is_named_as_library(file)}
        folders = sorted(map(index.own_path, listed))
        own = tuple(folder for folder in folders if _is_unloaded(context, folder))
        if own:
            found[package.name, package.architecture] = own
    return found


@lru_cache(maxsize=4096)
def _is_unloaded(context: RuleContext, folder: str) -> bool:
    """Whether a folder has plugins, and none of them is kept."""
    if folder.endswith(_CONVERTERS) or not is_plugin_folder(context, folder):
        return False
    plugins = list_libraries(context, folder)
    return bool(plugins) and context.kept.isdisjoint(own for _, own in plugins)


RULE = ClosureRule(
    Reason.PLUGIN_FOLDER,
    find_named_folders,
    "the shared libraries of a folder of which no run loaded one, if its path is a constant of a "
    "kept program or library of the same package, or of none as they are. At most 128 in a folder, "
    "with 16 MiB that nothing else needs; one that alone needs more than 4 MiB of libraries from "
    "elsewhere is left out",
    Keep.APP,
)
