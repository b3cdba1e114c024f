"""Where a module's name leads, as Node.js looks it up (modules: "All together")."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.file_facts import is_file
from slimtrace.builder.closure.rules.node.package_json import list_scopes, read_package
from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.closure.rules.node.specifiers import Specifier

_REQUIRED = frozenset({"node", "require", "module-sync", "node-addons", "default"})
_IMPORTED = frozenset({"node", "import", "module-sync", "node-addons", "default"})


def resolve_exports(exports: object, subpath: str, *, is_required: bool) -> Iterator[str]:
    """The targets of ``.`` or ``./sub/path``, of which the first that is there counts.

    None where it is not exported.
    """
    is_map = isinstance(exports, dict) and any(key.startswith(".") for key in exports)
    table = exports if is_map else {".": exports}
    yield from resolve_imports(table, subpath, is_required=is_required)


def resolve_imports(table: object, key: str, *, is_required: bool) -> Iterator[str]:
    """The targets of the name itself, else of the longest pattern.

    PACKAGE_IMPORTS_EXPORTS_RESOLVE of the specification. A name that ends in ``/`` is a pattern
    too (until Node 16).
    """
    if not isinstance(table, dict):
        return
    conditions = _REQUIRED if is_required else _IMPORTED
    if key in table and "*" not in key:
        yield from _targets(table[key], "", conditions)
        return
    for pattern in sorted(table, key=lambda pattern: -len(pattern.partition("*")[0])):
        before, star, after = pattern.partition("*")
        if not star and not pattern.endswith("/"):
            continue
        matches = key.startswith(before) and key.endswith(after) and key != before
        if matches and len(key) >= len(before) + len(after):
            name = key[len(before) : len(key) - len(after)]
            for target in _targets(table[pattern], name, conditions):
                yield target if star else target + name
            return


def _targets(said: object, name: str, conditions: frozenset[str]) -> Iterator[str]:
    """PACKAGE_TARGET_RESOLVE; of a condition's object the first that holds and leads anywhere."""
    if isinstance(said, str):
        yield said.replace("*", name)
    elif isinstance(said, list):
        for each in said:
            yield from _targets(each, name, conditions)
    elif isinstance(said, dict):
        for condition, each in said.items():
            if condition in conditions and (found := list(_targets(each, name, conditions))):
                yield from found
                return


_EXTENSIONS = ("", ".js", ".json", ".node", ".mjs", ".cjs")
"""The first four as ``require`` tries them; ``import`` wants whole names, which ``""`` is."""

_DEBIAN = ("/usr/share/nodejs", "/usr/lib/nodejs")


def resolve(context: RuleContext, path: str, wanted: Specifier) -> list[str]:
    """The files that a module's name makes Node.js read.

    They are the module and the package.json files that say where it is; none where the name
    leads nowhere or to what is built in.

    :param path: the own path of the file that names it.
    """
    name = wanted.name
    if name in {".", ".."} or name.startswith(("./", "../", "/")):
        folder = path.rpartition("/")[0]
        return _path(context, name if name.startswith("/") else f"{folder}/{name}")
    if name.startswith("#"):
        return _internal(context, path, wanted)
    if name.startswith("file://"):
        return _path(context, name.removeprefix("file://"))
    return _own(context, path, wanted) or _package(context, path, wanted)


def _path(context: RuleContext, place: str) -> list[str]:
    """LOAD_AS_FILE, then LOAD_AS_DIRECTORY."""
    found = [] if place.endswith(("/", "/.", "/..")) else _file(context, place)
    if found:
        return found
    file = f"{place.rstrip('/')}/package.json"
    main = read_package(context, file).get("main")
    inside = _inside(context, place, main) if isinstance(main, str) and main else []
    found = inside or _index(context, place)
    return [file, *found] if found and is_file(context, file) else found


def _inside(context: RuleContext, place: str, main: str) -> list[str]:
    target = f"{place}/{main}"
    return _file(context, target) or _index(context, target)


def _file(context: RuleContext, place: str) -> list[str]:
    tried = (place + extension for extension in _EXTENSIONS)
    return [file for file in tried if is_file(context, file)][:1]


def _index(context: RuleContext, place: str) -> list[str]:
    tried = (f"{place}/index{extension}" for extension in _EXTENSIONS[1:])
    return [file for file in tried if is_file(context, file)][:1]


def _package(context: RuleContext, path: str, wanted: Specifier) -> list[str]:
    """LOAD_NODE_MODULES: the first folder on the way that has it."""
    package, subpath = _split(wanted.name)
    for folder in (*_above(path), *_global(context)):
        top = f"{folder.rstrip('/')}/{package}"
        if "exports" in read_package(context, f"{top}/package.json"):
            found = _exports(context, top, subpath, is_required=wanted.is_required)
        else:
            found = _path(context, top + subpath.removeprefix("."))
        if found:
            return found
    return []


def _own(context: RuleContext, path: str, wanted: Specifier) -> list[str]:
    """LOAD_PACKAGE_SELF: a package that names itself."""
    package, subpath = _split(wanted.name)
    for file in list_scopes(context, path):
        if (said := read_package(context, file)).get("name") == package and "exports" in said:
            top = file.rpartition("/")[0]
            return _exports(context, top, subpath, is_required=wanted.is_required)
    return []


def _internal(context: RuleContext, path: str, wanted: Specifier) -> list[str]:
    """LOAD_PACKAGE_IMPORTS: a name that begins with ``#``, of a file or another package."""
    for file in list_scopes(context, path):
        table = read_package(context, file).get("imports")
        for target in resolve_imports(table, wanted.name, is_required=wanted.is_required):
            if target.startswith("./"):
                found = _file(context, f"{file.rpartition('/')[0]}/{target}")
            else:
                found = _package(context, path, wanted._replace(name=target))
            if found:
                return [file, *found]
    return []


def _exports(context: RuleContext, top: str, subpath: str, *, is_required: bool) -> list[str]:
    file = f"{top}/package.json"
    exports = read_package(context, file).get("exports")
    for target in resolve_exports(exports, subpath, is_required=is_required):
        if found := _file(context, f"{top}/{target}"):
            return [file, *found]
    return []


def _split(name: str) -> tuple[str, str]:
    """The package and what of it is meant: ``.`` or ``./sub/path``."""
    words = name.split("/")
    length = 2 if name.startswith("@") else 1
    return "/".join(words[:length]), "/".join([".", *words[length:]])


def _above(path: str) -> Iterator[str]:
    for folder in reversed(list_parents(path)):
        if not folder.endswith("/node_modules"):
            yield f"{folder.rstrip('/')}/node_modules"


@lru_cache(maxsize=4)
def _global(context: RuleContext) -> tuple[str, ...]:
    """NODE_PATH, the home directory's, and where Debian's Node.js looks too."""
    home = context.environment.env.get("HOME", "/root")
    machines = [
        f"/usr/lib/{name}/nodejs" for name in context.root.listdir("/usr/lib") if "-" in name
    ]
    homes = [f"{home}/.node_modules", f"{home}/.node_libraries"]
    return (*context.environment.read_search_path("NODE_PATH"), *homes, *machines, *_DEBIAN)
