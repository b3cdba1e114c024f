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
_DEEPEST = 8
"""How many aliases of aliases are followed."""


def find_gconv_modules(context: RuleContext, path: str) -> Iterable[Need]:
    """The tables beside a touched table or module; and the modules of the runs' charsets.

    The cache stands for the tables (iconvconfig(8)): who reads it reads none of them. UTF-8 and
    ASCII are built into glibc.
    """
    folder, _, name = path.rpartition("/")
    of_gconv = (
        (name.startswith("gconv-modules") and not name.endswith(".cache"))
        or folder.endswith("/gconv-modules.d")
        or (folder.endswith("/gconv") and name.endswith(".so"))
    )
    if of_gconv and path in context.touched:
        yield from _tables(context.root, folder.removesuffix("/gconv-modules.d"))
    if is_glibc(path):
        charsets = {parse_codeset(name) for name in list_locale_names(context.environment.env)}
        wanted = sorted(name for name in charsets if normalize_codeset(name) not in _BUILT_IN)
        for place in _folders(context, path) if wanted else ():
            modules = [file for name in wanted for file in _modules(context.root, place, name)]
            if modules:
                yield from _tables(context.root, place)
            for module in modules:
                yield Need(f"{place}/{module}", Reason.GCONV, load=True)


def _folders(context: RuleContext, libc: str) -> list[str]:
    """Where the modules lie: ``GCONV_PATH``, and beside libc, or below /usr where that is not."""
    beside = f"{os.path.dirname(libc)}/gconv"
    named = context.environment.env.get("GCONV_PATH", "").split(":")
    found = [*filter(None, named), beside, f"/usr{beside}"]
    return [place for place in dict.fromkeys(found) if context.root.resolve(place).exists]


def _tables(root: Root, folder: str) -> Iterator[Need]:
    more = f"{folder}/gconv-modules.d"
    names = [f"{more}/{name}" for name in root.listdir(root.resolve(more).path)]
    names += [f"{folder}/gconv-modules", f"{folder}/gconv-modules.cache"]
    return (Need(name, Reason.GCONV) for name in names)


def _modules(root: Root, folder: str, charset: str) -> list[str]:
    """The module files of a charset, by the lines ``alias`` and ``module`` of gconv-modules."""
    tables = [need.path for need in _tables(root, folder) if not need.path.endswith(".cache")]
    lines = [line for table in tables for line in split_lines(read_text(root, table))]
    aliases = {line[1]: line[2] for line in lines if line[0] == "alias" and len(line) > 2}
    name = f"{charset.upper()}//"
    for _ in range(_DEEPEST):
        name = aliases.get(name, name)
    files = [line[3] for line in lines if line[0] == "module" and name in line[1:3]]
    return sorted({file if file.endswith(".so") else f"{file}.so" for file in files})


RULE = ClosureRule(Reason.GCONV, find_gconv_modules)
