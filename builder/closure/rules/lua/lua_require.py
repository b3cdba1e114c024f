"""Modules that Lua code requires by a constant name (Lua Reference Manual, "Modules")."""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import ClosureRule
from slimtrace.builder.closure.rules.file_facts import is_file, is_source, read_source
from slimtrace.builder.model import Keep, Kind, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

_SOURCES = (".lua", ".luac", ".moon")

_TOKENS = re.compile(
    r"""(?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')|--\[(?P<level>=*)\[.*?\](?P=level)\]|--[^\n]*""",
    re.DOTALL,
)
"""Strings, which stay, and comments, which go."""

_REQUIRE = re.compile(
    r"(?<![\w.:])require\s*(?:,\s*|\(\s*)?(?:\"([\w./-]+)\"|'([\w./-]+)'|\[\[([\w./-]+)\]\])"
)
"""``require "a.b"``, ``require('a.b')`` and ``pcall(require, "a.b")``."""

_USED_ROOT = re.compile(r"(?P<root>.*/lua/5\.\d|.*/lualib|.*/luajit-[^/]+)/.*\.(?:lua|so)")
_TEMPLATE = re.compile(r"[\"';]([\w./-]+)/\?(?:/init)?\.(?:lua|so)\b")
"""A template with a constant folder: ``package.path = "lib/?.lua;" .. package.path``."""

_VERSION = re.compile(r".*(?:/lua/|lua-?)(5\.\d)\b.*")
_ROOTS = (
    *("/usr/local/share/lua/{}", "/usr/local/lib/lua/{}", "/usr/share/lua/{}", "/usr/lib/lua/{}"),
    *("/usr/lib64/lua/{}", "/usr/share/lua/common"),
)
"""``package.path`` and ``package.cpath`` as Lua is compiled on Debian, Alpine and Fedora."""


def find_required_modules(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the modules that Lua code requires by a constant name, in any branch."""
    if not is_source(context, path, _SOURCES, "lua"):
        return
    code = _TOKENS.sub(lambda token: token["text"] or " ", read_source(context, path))
    for match in _REQUIRE.finditer(code):
        name = (match[1] or match[2] or match[3]).replace(".", "/")
        for file in _find_module(context, path, name):
            yield Need(file, Reason.LUA_REQUIRE, load=file.endswith(".so"))


def _find_module(context: RuleContext, path: str, name: str) -> Iterator[str]:
    """Find a module's files in the first root that has it; a library may have it with others."""
    library = name.partition("/")[0]
    for root in (*list_roots(context), *list_folders_above(path)):
        files = [f"{root}/{name}.lua", f"{root}/{name}/init.lua", f"{root}/{name}.so"]
        found = [file for file in files if is_file(context, file)]
        if not found and is_file(context, f"{root}/{library}.so"):
            found = [f"{root}/{library}.so"]
        if found:
            yield from found
            return


def list_folders_above(path: str) -> Iterator[str]:
    """List the folders above a file, the next one first: an app starts in one of them."""
    folder = path.rpartition("/")[0]
    while folder:
        yield folder
        folder = folder.rpartition("/")[0]


@lru_cache(maxsize=4)
def list_roots(context: RuleContext) -> tuple[str, ...]:
    """List the roots from which modules were loaded, and Lua's own for the versions in use."""
    roots: dict[str, None] = {}
    versions: dict[str, None] = {}
    for path in sorted(context.kept):
        if match := _USED_ROOT.fullmatch(path):
            roots[match["root"]] = None
        if "lua" in path and (used := _VERSION.fullmatch(path)):
            versions[used[1]] = None
        if "luajit" in path:
            versions["5.1"] = None
    for version in versions:
        roots.update(dict.fromkeys(root.format(version) for root in _ROOTS))
        for name in context.root.listdir("/usr/lib"):
            if "-linux-" in name:
                roots[f"/usr/lib/{name}/lua/{version}"] = None
    roots.update(dict.fromkeys(_list_added_roots(context)))
    return tuple(root for root in roots if _is_folder(context, root))


def _list_added_roots(context: RuleContext) -> Iterator[str]:
    """List the roots that the app's sources add to package.path, from the cwd or their folder."""
    for path in sorted(context.read):
        if path.endswith(".lua") and "package." in (code := read_source(context, path)):
            for folder in (context.environment.cwd, path.rpartition("/")[0]):
                for name in _TEMPLATE.findall(code):
                    yield posixpath.normpath(posixpath.join(folder, name))


def _is_folder(context: RuleContext, path: str) -> bool:
    return context.root.kind(context.root.resolve(path).path) is Kind.DIRECTORY


RULE = ClosureRule(
    Reason.LUA_REQUIRE,
    find_required_modules,
    "modules that Lua code requires by a constant name, in Lua's folders, those above the file, "
    "and those that the app adds to `package.path` by a constant",
    Keep.APP,
)
