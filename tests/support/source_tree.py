"""The project's own modules, parsed, and their imports."""

from __future__ import annotations

import ast
import os
from functools import cache
from typing import TYPE_CHECKING

from repository import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@cache
def modules() -> Mapping[str, str]:
    """Return ``{module: path in the checkout}``; a package's path is its ``__init__.py``."""
    found = {f"slimtrace.{name}": f"slimtrace/{name}.py" for name in ("main", "slim", "__main__")}
    for package in ("tracer", "builder"):
        for folder, _, names in os.walk(os.path.join(ROOT, package)):
            for name in names:
                if name.endswith(".py"):
                    path = os.path.relpath(os.path.join(folder, name), ROOT)
                    module = path.removesuffix(".py").replace("/", ".")
                    found[f"slimtrace.{module}".removesuffix(".__init__")] = path
    return dict(sorted(found.items()))


@cache
def text(module: str) -> str:
    with open(os.path.join(ROOT, modules()[module]), encoding="utf-8") as file:
        return file.read()


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(text(module), modules()[module])


def imported_names(module: str) -> Iterator[str]:
    """Yield a module's imports as ``package.module.name``, those in functions and for types too."""
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: use absolute imports only"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def imported_modules(module: str) -> Iterator[str]:
    """Yield the project's modules that a module imports."""
    for imported in imported_names(module):
        name = imported if imported in modules() else imported.rpartition(".")[0]
        if name in modules() and name != module:
            yield name


def is_in(name: str, packages: tuple[str, ...]) -> bool:
    """Return whether a module is one of these packages, or part of one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)
