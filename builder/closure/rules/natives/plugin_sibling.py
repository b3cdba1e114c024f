"""Siblings of a plugin: a library that was loaded by a name that the program put together.

The name of the others beside it is put together in the same way when the app takes another branch:
modules of a server, coders of a converter, extensions of a database, security modules.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.dlopen import read_library_names
from slimtrace.builder.closure.rules.natives.library_folder import (
    is_named_as_library,
    is_plugin_folder,
    list_libraries,
)
from slimtrace.builder.closure.rules.natives.plugin_cost import PluginBounds, bound_plugins
from slimtrace.builder.closure.rules.natives.plugin_registry import list_registered
from slimtrace.builder.model import Keep, Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.closure.rule import LimitMet, RuleContext

BOUNDS = PluginBounds(files=512, library_bytes=32 << 20, folder_bytes=96 << 20)


def find_siblings(context: RuleContext, path: str) -> Iterable[Need | LimitMet]:
    """Find the shared libraries beside one that a run loaded by a name that no constant has.

    The siblings are of its kind: shared libraries for the same machine. Programs are none.
    """
    if path not in context.read or not is_named_as_library(path):
        return
    folder = path.rpartition("/")[0]
    if find_loaded_plugin(context, folder) != path:
        return  # one member stands for its folder
    elf = context.loader.elves.read(path)
    siblings = [
        (lookup, own)
        for lookup, own in list_libraries(context, folder)
        if own not in list_registered(context)
        and (other := context.loader.elves.read(own))
        and elf
        and other.has_same_abi(elf)
    ]
    suffixes = _find_companions(context, folder)
    for need in bound_plugins(context, Reason.PLUGIN_SIBLING, folder, siblings, BOUNDS):
        yield need
        if isinstance(need, Need):
            stem = need.path[: need.path.rfind(".so")]
            yield from (Need(f"{stem}{suffix}", Reason.PLUGIN_SIBLING) for suffix in suffixes)


def _find_companions(context: RuleContext, folder: str) -> list[str]:
    """Find the suffixes of files that the runs read with a plugin, such as libtool's ``.la``."""
    names = context.root.listdir(folder)
    read = [name for name in names if f"{folder}/{name}" in context.read]
    stems = {name[: name.rfind(".so")] for name in read if is_named_as_library(name)}
    parts = [(name.partition(".")[0], name) for name in read if not is_named_as_library(name)]
    return sorted({name[len(stem) :] for stem, name in parts if stem in stems})


@lru_cache(maxsize=4096)
def find_loaded_plugin(context: RuleContext, folder: str) -> str | None:
    """Find the first library of a folder that the runs loaded by a put-together name.

    What a registry names has a rule of its own.
    """
    if not is_plugin_folder(context, folder):
        return None
    names: dict[str, set[str]] = {}
    for lookup, own in list_libraries(context, folder):
        if own in list_registered(context):
            continue
        elf = context.loader.elves.read(own)
        soname = elf.soname if elf else None
        names.setdefault(own, set()).update({lookup.rpartition("/")[2], soname or ""})
    inside = f"{folder}/"
    loaded = sorted(path for path in names if path in context.read and path.startswith(inside))
    return next((path for path in loaded if not _is_named(context, path, names[path])), None)


def _is_named(context: RuleContext, path: str, names: set[str]) -> bool:
    """Whether another kept program or library links to the library, or names it whole."""
    namers = _index_names(context)
    return any(namers.get(name, set()) - {path} for name in names)


@lru_cache(maxsize=1)
def _index_names(context: RuleContext) -> dict[str, set[str]]:
    """Index the kept programs and libraries by the libraries that they link to or name."""
    namers: dict[str, set[str]] = {}
    for path in context.kept:
        elf = context.loader.elves.read(path)
        for name in (*elf.needed, *read_library_names(context, path)) if elf else ():
            namers.setdefault(name.rpartition("/")[2], set()).add(path)
    return namers


RULE = ClosureRule(
    Reason.PLUGIN_SIBLING,
    find_siblings,
    "the shared libraries beside one that a run loaded by a name that is no constant of a kept "
    "program or library: plugins, modules, extensions, with the libraries that they need. Not in "
    "folders where all programs' libraries or a language's modules are searched. At most 512 in a "
    "folder, with 96 MiB that nothing else needs; one that alone needs more than 32 MiB of "
    "libraries from elsewhere is left out",
    Keep.APP,
)
