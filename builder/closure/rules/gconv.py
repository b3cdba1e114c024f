"""Character set converters of glibc: tables and modules that iconv(3) and setlocale(3) open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_glibc
from slimtrace.builder.closure.rules.locale import (
    list_locale_names,
    normalize_codeset,
    parse_codeset,
)
from slimtrace.builder.model import Reason
from slimtrace.builder.root.tables import read_text, split_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.root.root import Root

_BUILT_IN = frozenset({"", "utf8", "ascii", "usascii", "ansix341968"})
_MAX_ALIAS_DEPTH = 8
"""How many aliases of aliases are followed."""


def find_gconv_modules(context: RuleContext, path: str) -> Iterable[Need]:
    """Find the tables beside a touched table or module, and the modules of the runs' charsets.

    The cache replaces the tables (iconvconfig(8)): a program that reads it reads no table. UTF-8
    and ASCII are built into glibc.
    """
    folder, _, name = path.rpartition("/")
    is_gconv_file = (
        (name.startswith("gconv-modules") and not name.endswith(".cache"))
        or folder.endswith("/gconv-modules.d")
        or (folder.endswith("/gconv") and name.endswith(".so"))
    )
    if is_gconv_file and path in context.touched:
        yield from _list_tables(context.root, folder.removesuffix("/gconv-modules.d"))
    if is_glibc(path):
        codesets = {parse_codeset(name) for name in list_locale_names(context.environment.env)}
        charsets = sorted(name for name in codesets if normalize_codeset(name) not in _BUILT_IN)
        yield from find_converters(context, path, charsets)


def find_converters(context: RuleContext, libc: str, charsets: Iterable[str]) -> Iterator[Need]:
    """Find the modules of these charsets for the C library at an own path, and the tables."""
    charsets = [*charsets]
    for directory in _list_folders(context, libc) if charsets else ():
        modules = [
            file for name in charsets for file in _find_modules(context.root, directory, name)
        ]
        if modules:
            yield from _list_tables(context.root, directory)
        for module in modules:
            yield Need(f"{directory}/{module}", Reason.GCONV, load=True)


def _list_folders(context: RuleContext, libc: str) -> list[str]:
    """List the directories of modules: ``GCONV_PATH``, ``gconv`` beside libc, and that in /usr."""
    beside = f"{os.path.dirname(libc)}/gconv"
    configured = context.environment.env.get("GCONV_PATH", "").split(":")
    folders = dict.fromkeys([*filter(None, configured), beside, f"/usr{beside}"])
    return [folder for folder in folders if context.root.resolve(folder).exists]


def _list_tables(root: Root, folder: str) -> Iterator[Need]:
    more = f"{folder}/gconv-modules.d"
    names = [f"{more}/{name}" for name in root.listdir(root.resolve(more).path)]
    names += [f"{folder}/gconv-modules", f"{folder}/gconv-modules.cache"]
    return (Need(name, Reason.GCONV) for name in names)


def _find_modules(root: Root, folder: str, charset: str) -> list[str]:
    """Find a charset's module files, by the lines ``alias`` and ``module`` of gconv-modules."""
    tables = [need.path for need in _list_tables(root, folder) if not need.path.endswith(".cache")]
    lines = [line for table in tables for line in split_lines(read_text(root, table))]
    aliases = {line[1]: line[2] for line in lines if line[0] == "alias" and len(line) > 2}
    name = f"{charset.upper()}//"
    for _ in range(_MAX_ALIAS_DEPTH):
        name = aliases.get(name, name)
    files = [line[3] for line in lines if line[0] == "module" and name in line[1:3]]
    return sorted({file if file.endswith(".so") else f"{file}.so" for file in files})


RULE = ClosureRule(
    Reason.GCONV,
    find_gconv_modules,
    "character set converters for these locales",
)
