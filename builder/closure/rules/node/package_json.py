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
"""The directory of a package, in node_modules or where Debian puts packages."""


def find_package_json(context: RuleContext, path: str) -> Iterator[Need]:
    """Find the package.json of the package that a module or its data belongs to.

    Those in directories between are found too. Outside node_modules, the package begins at the
    first package.json with a name: the ones below it only set a type.
    """
    if is_source(context, path, SUFFIXES, "node"):
        for file in list_scopes(context, path):
            yield Need(file, Reason.NODE_PACKAGE_JSON)


def list_scopes(context: RuleContext, path: str) -> Iterator[str]:
    """List the package.json files above a file, the nearest first, up to its package's."""
    for folder in reversed(list_parents(path)):
        if folder.endswith("/node_modules"):
            return
        file = f"{folder.rstrip('/')}/package.json"
        if is_file(context, file):
            yield file
        is_named = "/node_modules/" not in folder and read_package(context, file).get("name")
        if _PACKAGE.fullmatch(folder) or is_named:
            return


@lru_cache(maxsize=4096)
def read_package(context: RuleContext, file: str) -> dict[str, Any]:
    """Read a package.json; empty if there is none or it is no object."""
    try:
        document = json.loads(read_source(context, file) or "{}")
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}
