"""What a package lets others load by which name (packages: "exports", "imports")."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_REQUIRED = frozenset({"node", "require", "module-sync", "node-addons", "default"})
_IMPORTED = frozenset({"node", "import", "module-sync", "node-addons", "default"})


def exported(exports: object, subpath: str, *, is_required: bool) -> Iterator[str]:
    """The targets of ``.`` or ``./sub/path``, of which the first that is there counts.

    None where it is not exported.
    """
    is_map = isinstance(exports, dict) and any(key.startswith(".") for key in exports)
    table = exports if is_map else {".": exports}
    yield from mapped(table, subpath, is_required=is_required)


def mapped(table: object, key: str, *, is_required: bool) -> Iterator[str]:
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
