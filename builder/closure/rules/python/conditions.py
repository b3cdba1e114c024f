"""What of a source can run here: which branches, and which functions of a library."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOREIGN = frozenset(
    {"aix", "android", "cygwin", "darwin", "emscripten", "ios", "java", "nt", "vxworks"}
    | {"wasi", "win32", "windows"}
)
"""What ``sys.platform``, ``os.name`` and ``platform.system()`` say elsewhere, in small letters."""
_ASKS_FOR_SYSTEM = re.compile(r"(?:^|[._])(?:os|os_?name|platform|sys|system)(?![^\W_])")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def alive(node: ast.If, *, is_main: bool, is_deep: bool) -> Iterator[ast.AST]:
    """What of it can run here: not what is there for type checkers or other systems."""
    truth = _truth(node.test, is_main=is_main)
    if is_deep:
        yield node.test
    yield from node.body if truth is not False else ()
    yield from node.orelse if truth is not True else ()


def main_only(tree: ast.Module) -> set[ast.AST]:
    """The functions of a module that only its ``if __name__ == "__main__"`` leads to.

    Modules of the standard library have them as commands or tests; who imports the module calls
    none of them. A function that anything else mentions is not among them, nor one that nothing
    mentions: others may call it.
    """
    functions = {node.name: node for node in tree.body if isinstance(node, _FUNCTIONS)}
    by: defaultdict[str, set[str]] = defaultdict(set)
    for node in tree.body:
        owner = node.name if isinstance(node, _FUNCTIONS) else _owner(node)
        for name in _mentioned(node) & functions.keys() - {owner}:
            by[name].add(owner)
    found: set[str] = {_MAIN}
    while more := {name for name in by if by[name] <= found} - found:
        found |= more
    return {functions[name] for name in found - {_MAIN}}


_MAIN = "__main__"


def _owner(node: ast.stmt) -> str:
    is_main = isinstance(node, ast.If) and _truth(node.test, is_main=False) is False
    return _MAIN if is_main and "__name__" in _mentioned(node) else ""


def _mentioned(node: ast.AST) -> set[str]:
    """The names in it, and the strings, as ``__all__`` and ``globals()["main"]`` have them."""
    found = set()
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                found.add(name)
    return found


def _truth(test: ast.expr, *, is_main: bool) -> bool | None:
    """What a condition is known to be on Linux; None where that is open."""
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return False
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            truth = _truth(operand, is_main=is_main)
            return None if truth is None else not truth
        case ast.BoolOp(op=ast.And(), values=values):
            truths = [_truth(value, is_main=is_main) for value in values]
            return False if False in truths else None
        case ast.Call(
            func=ast.Attribute(value=ast.Attribute(attr="platform"), attr="startswith"),
            args=[ast.Constant(value=str(value))],
        ):
            return "linux".startswith(value)
        case ast.Compare(left=left, ops=[ast.Eq()], comparators=[ast.Constant(value=str(value))]):
            return _equals(left, value, is_main=is_main)
    return None


def _equals(left: ast.expr, value: str, *, is_main: bool) -> bool | None:
    if isinstance(left, ast.Name) and left.id == "__name__":
        return None if is_main else value == ""
    text = ast.unparse(left)
    known = {"sys.platform": "linux", "os.name": "posix"}.get(text)
    if known is not None:
        return known == value
    if value.lower() in _FOREIGN and _ASKS_FOR_SYSTEM.search(text):
        return False
    return None
