"""Resolves the name of a module, as Node.js does (modules: "All together")."""

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

_REQUIRE_CONDITIONS = frozenset({"node", "require", "module-sync", "node-addons", "default"})
_IMPORT_CONDITIONS = frozenset({"node", "import", "module-sync", "node-addons", "default"})


def resolve_exports(exports: object, subpath: str, *, is_required: bool) -> Iterator[str]:
    """List the targets of ``.`` or ``./sub/path``. The first that exists counts.

    There are none if it is not exported.
    """
    is_map = isinstance(exports, dict) and any(key.startswith(".") for key in exports)
    table = exports if is_map else {".": exports}
    yield from resolve_imports(table, subpath, is_required=is_required)


def resolve_imports(table: object, key: str, *, is_required: bool) -> Iterator[str]:
    """List the targets of the exact name, else of the longest matching pattern.

    This is PACKAGE_IMPORTS_EXPORTS_RESOLVE of the specification. A name that ends in ``/`` is a
    pattern too (until Node 16).
    """
    if not isinstance(table, dict):
        return
    conditions = _REQUIRE_CONDITIONS if is_required else _IMPORT_CONDITIONS
    if key in table and "*" not in key:
        yield from _list_targets(table[key], "", conditions)
        return
    for pattern in sorted(table, key=lambda pattern: -len(pattern.partition("*")[0])):
        before, star, after = pattern.partition("*")
        if not star and not pattern.endswith("/"):
            continue
        matches = key.startswith(before) and key.endswith(after) and key != before
        if matches and len(key) >= len(before) + len(after):
            name = key[len(before) : len(key) - len(after)]
            for target in _list_targets(table[pattern], name, conditions):
                yield target if star else target + name
            return


def _list_targets(value: object, name: str, conditions: frozenset[str]) -> Iterator[str]:
    """PACKAGE_TARGET_RESOLVE. In an object, the first true condition that has targets counts."""
    if isinstance(value, str):
        yield value.replace("*", name)
    elif isinstance(value, list):
        for each in value:
            yield from _list_targets(each, name, conditions)
    elif isinstance(value, dict):
        for condition, each in value.items():
            if condition in conditions and (targets := list(_list_targets(each, name, conditions))):
                yield from targets
                return


_EXTENSIONS = ("", ".js", ".json", ".node", ".mjs", ".cjs")
"""``require`` tries the first four in this order; ``import`` takes exact names only (``""``)."""

_DEBIAN = ("/usr/share/nodejs", "/usr/lib/nodejs")


def resolve(context: RuleContext, path: str, specifier: Specifier) -> list[str]:
    """Find the files that Node.js reads for a module's name.

    They are the module and the package.json files that decide where it is. There are none if the
    module does not exist or is built in.

    :param path: the own path of the file that contains the name.
    """
    name = specifier.name
    if name in {".", ".."} or name.startswith(("./", "../", "/")):
        folder = path.rpartition("/")[0]
        return _load_path(context, name if name.startswith("/") else f"{folder}/{name}")
    if name.startswith("#"):
        return _load_import(context, path, specifier)
    if name.startswith("file://"):
        return _load_path(context, name.removeprefix("file://"))
    return _load_self(context, path, specifier) or _load_package(context, path, specifier)


def _load_path(context: RuleContext, path: str) -> list[str]:
    """LOAD_AS_FILE, then LOAD_AS_DIRECTORY."""
    files = [] if path.endswith(("/", "/.", "/..")) else _load_file(context, path)
    if files:
        return files
    package = f"{path.rstrip('/')}/package.json"
    main = read_package(context, package).get("main")
    files = _load_main(context, path, main) if isinstance(main, str) and main else []
    files = files or _load_index(context, path)
    return [package, *files] if files and is_file(context, package) else files


def _load_main(context: RuleContext, folder: str, main: str) -> list[str]:
    target = f"{folder}/{main}"
    return _load_file(context, target) or _load_index(context, target)


def _load_file(context: RuleContext, path: str) -> list[str]:
    candidates = (path + extension for extension in _EXTENSIONS)
    return [file for file in candidates if is_file(context, file)][:1]


def _load_index(context: RuleContext, folder: str) -> list[str]:
    candidates = (f"{folder}/index{extension}" for extension in _EXTENSIONS[1:])
    return [file for file in candidates if is_file(context, file)][:1]


def _load_package(context: RuleContext, path: str, specifier: Specifier) -> list[str]:
    """LOAD_NODE_MODULES: from the nearest directory that has the package."""
    package, subpath = _split(specifier.name)
    for folder in (*_list_node_modules(path), *_list_global_folders(context)):
        top = f"{folder.rstrip('/')}/{package}"
        if "exports" in read_package(context, f"{top}/package.json"):
            files = _load_exports(context, top, subpath, is_required=specifier.is_required)
        else:
            files = _load_path(context, top + subpath.removeprefix("."))
        if files:
            return files
    return []


def find_package_record(context: RuleContext, path: str, name: str) -> list[str]:
    """Find the package.json of the package that a module's name begins with, seen from a file."""
    package, _ = _split(name)
    for folder in (*_list_node_modules(path), *_list_global_folders(context)):
        record = f"{folder.rstrip('/')}/{package}/package.json"
        if is_file(context, record):
            return [record]
    return []


def _load_self(context: RuleContext, path: str, specifier: Specifier) -> list[str]:
    """LOAD_PACKAGE_SELF: a package that names itself."""
    name, subpath = _split(specifier.name)
    for file in list_scopes(context, path):
        package = read_package(context, file)
        if package.get("name") == name and "exports" in package:
            top = file.rpartition("/")[0]
            return _load_exports(context, top, subpath, is_required=specifier.is_required)
    return []


def _load_import(context: RuleContext, path: str, specifier: Specifier) -> list[str]:
    """LOAD_PACKAGE_IMPORTS: a name that begins with ``#``, for a file or another package."""
    for package in list_scopes(context, path):
        table = read_package(context, package).get("imports")
        for target in resolve_imports(table, specifier.name, is_required=specifier.is_required):
            if target.startswith("./"):
                files = _load_file(context, f"{package.rpartition('/')[0]}/{target}")
            else:
                files = _load_package(context, path, specifier._replace(name=target))
            if files:
                return [package, *files]
    return []


def _load_exports(context: RuleContext, top: str, subpath: str, *, is_required: bool) -> list[str]:
    package = f"{top}/package.json"
    exports = read_package(context, package).get("exports")
    for target in resolve_exports(exports, subpath, is_required=is_required):
        if files := _load_file(context, f"{top}/{target}"):
            return [package, *files]
    return []


def _split(name: str) -> tuple[str, str]:
    """Split a name into the package and the path in it: ``.`` or ``./sub/path``."""
    parts = name.split("/")
    length = 2 if name.startswith("@") else 1
    return "/".join(parts[:length]), "/".join([".", *parts[length:]])


def _list_node_modules(path: str) -> Iterator[str]:
    for folder in reversed(list_parents(path)):
        if not folder.endswith("/node_modules"):
            yield f"{folder.rstrip('/')}/node_modules"


@lru_cache(maxsize=4)
def _list_global_folders(context: RuleContext) -> tuple[str, ...]:
    """List the directories in NODE_PATH, in the home directory, and those of Debian's Node.js."""
    home = context.environment.env.get("HOME", "/root")
    machines = [
        f"/usr/lib/{name}/nodejs" for name in context.root.listdir("/usr/lib") if "-" in name
    ]
    homes = [f"{home}/.node_modules", f"{home}/.node_libraries"]
    return (*context.environment.read_search_path("NODE_PATH"), *homes, *machines, *_DEBIAN)
