"""The package.json files that decide how a module is loaded (esm: "Determining module system")."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rules.file_facts import is_file, is_source, read_source
from slimtrace.builder.model import Reason
from slimtrace.builder.root.root import list_parents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.closure.rule import RuleContext

SUFFIXES = (".js", ".cjs", ".mjs", ".json", ".node", ".wasm")

_PACKAGE = re.compile(r".*/(?:node_modules|(?:share|lib|lib/[^/]+)/nodejs)/(?:@[^/]+/)?[^@/][^/]*")
"""A package's own folder, in node_modules or where Debian puts packages."""


def find_package_json(context: RuleContext, path: str) -> Iterator[Need]:
    """Of a module or its data, the package.json of its package, and those of folders between.

    Outside node_modules the package is taken to begin where one has a name: those between say
    no more than a type.
    """
    if is_source(context, path, SUFFIXES, "node"):
        for found in list_scopes(context, path):
            yield Need(found, Reason.NODE_PACKAGE_JSON)


def list_scopes(context: RuleContext, path: str) -> Iterator[str]:
    """The package.json files above a file, the nearest first, up to its package's."""
    for folder in reversed(list_parents(path)):
        if folder.endswith("/node_modules"):
            return
        file = f"{folder.rstrip('/')}/package.json"
        if is_file(context, file):
            yield file
        if _PACKAGE.fullmatch(folder) or ("/node_modules/" not in folder and _name(context, file)):
            return


@lru_cache(maxsize=4096)
def read_package(context: RuleContext, file: str) -> dict[str, Any]:
    """What a package.json says; nothing where there is none or it is no object."""
    try:
        said = json.loads(read_source(context, file) or "{}")
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def _name(context: RuleContext, file: str) -> object:
    return read_package(context, file).get("name")
