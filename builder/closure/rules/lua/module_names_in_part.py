"""Lua modules whose names are put together, and files that Lua code runs by a constant name."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_source, read_source
from slimtrace.builder.closure.rules.lua.lua_require import list_folders_above, list_roots
from slimtrace.builder.closure.rules.name_pattern import UNKNOWN, Pattern, find_matches
from slimtrace.builder.model import Keep, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_COMMENT = re.compile(r"--\[(=*)\[.*?\]\1\]|--[^\n]*", re.DOTALL)
_COMPUTED = re.compile(
    r"""(?<![\w.:])require\s*(?:,\s*|\(\s*)?["'](?P<folder>[\w./-]+)[./](?P<begin>[\w-]*)["']\s*\.\."""
)
_FILES = re.compile(r"""(?<![\w.:])(?:dofile|loadfile)\s*\(?\s*["']([^"'\n]+)["']""")


def find_named_files(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules that fit a name with a constant beginning, and files that are run."""
    if not is_source(context, path, (".lua",), "lua"):
        return
    code = _COMMENT.sub("", read_source(context, path))
    for match in _COMPUTED.finditer(code):
        below = f"{match['folder'].replace('.', '/')}/{match['begin']}{UNKNOWN}"
        for file in _find_matching(context, path, below):
            yield Need(file, Reason.LUA_MODULE_NAME, load=file.endswith(".so"))
    for name in _FILES.findall(code):
        for folder in (context.environment.cwd, posixpath.dirname(path)):
            yield Need(posixpath.join(folder, name), Reason.LUA_MODULE_NAME)


def _find_matching(context: RuleContext, path: str, below: str) -> list[str]:
    """Find the modules that fit, in the first root that has one."""
    for root in (*list_roots(context), *list_folders_above(path)):
        matches = find_matches(context.root, Pattern(f"{root}/{below}"))
        if files := [file for file in matches if file.endswith((".lua", ".so"))]:
            return files
    return []


RULE = ClosureRule(
    Reason.LUA_MODULE_NAME,
    find_named_files,
    "the Lua modules that fit a required name with a constant beginning "
    "(`require('plugins.' .. name)`), and what Lua code runs by `dofile`",
    Keep.APP,
)
