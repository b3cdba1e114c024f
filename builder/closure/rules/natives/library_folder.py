"""Folders of shared libraries: which of them belong to one program, and what is in them."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.search_path import (
    list_default_directories,
    read_configured_directories,
)
from slimtrace.builder.packages.languages.library_folders import (
    is_library as is_language_library,
)

if TYPE_CHECKING:
    from slimtrace.builder.closure.elf.elf import ElfInfo
    from slimtrace.builder.closure.rule import RuleContext

LIBRARY_NAME = re.compile(r"[\w.+@-]+\.so(?:\.[0-9]+)*", re.ASCII)
_LANGUAGE_FOLDER = re.compile(
    r".*/(?:(?:site|dist)-packages|lib-dynload|node_modules|jvm|perl5?|perl-base|(?:vendor_)?ruby"
    r"|gems|glibc-hwcaps)(?:/|$)"
)
"""Folders in which a language's import system searches: the language's own rules know more. In
glibc-hwcaps are libraries that the loader itself chooses."""
_JVM_LIBRARY = "libjava.so"
"""It lies beside the libraries of a JVM, wherever that is installed."""
_MUSL_FOLDERS = ("/lib", "/usr/local/lib", "/usr/lib")


def is_plugin_folder(context: RuleContext, folder: str) -> bool:
    """Whether a folder can be one program's: not where all programs' libraries are searched.

    :param folder: its own path.
    """
    return (
        folder not in ("", "/")
        and not is_language_folder(folder)
        and folder not in _list_search_folders(context)
        and _JVM_LIBRARY not in context.root.listdir(folder)
    )


def is_language_folder(path: str) -> bool:
    """Whether a path is in a folder for modules or packages of a language."""
    return bool(_LANGUAGE_FOLDER.match(path)) or is_language_library(f"{path}/.")


def list_libraries(context: RuleContext, folder: str) -> tuple[tuple[str, str], ...]:
    """List the shared libraries in a folder, links to them included: their paths and own paths."""
    found = []
    for name in context.root.listdir(folder):
        if LIBRARY_NAME.fullmatch(name):
            own = context.root.resolve(f"{folder}/{name}")
            if own.exists and is_library(context, own.path):
                found.append((f"{folder}/{name}", own.path))
    return tuple(found)


def is_library(context: RuleContext, path: str) -> bool:
    """Whether the file at an own path is a shared library, and no program (PT_INTERP)."""
    elf = context.loader.elves.read(path)
    return elf is not None and elf.interpreter is None


def is_named_as_library(path: str) -> bool:
    """Whether a path ends as a shared library's does."""
    at = path.rfind(".so")
    return at > path.rfind("/") and path[at + 3 : at + 4] in {"", "."}


@lru_cache(maxsize=1)
def _list_search_folders(context: RuleContext) -> frozenset[str]:
    """List own paths of the folders in which loaders search libraries for all programs."""
    abis: dict[tuple[int, str], ElfInfo] = {}
    for path in context.kept:
        elf = context.loader.elves.read(path) if is_named_as_library(path) else None
        if elf is not None:
            abis.setdefault((elf.bits, elf.machine), elf)
    folders = [folder for elf in abis.values() for folder in list_default_directories(elf)]
    folders += [*_MUSL_FOLDERS, *read_configured_directories(context.root)]
    own = {context.root.resolve(folder).path for folder in folders}
    return frozenset(own)
