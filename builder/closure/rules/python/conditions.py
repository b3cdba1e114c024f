"""What of a source can run here: which branches, and which functions of a library."""

from __future__ import annotations

import ast
import operator
import re
from collections import defaultdict
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class SourceContext:
    """Where a source runs.

    :ivar is_main: whether it may have been run as the main module.
    :ivar version: the language's, as 3 and 11; None where it is not known.
    """

    is_main: bool = False
    version: tuple[int, int] | None = None


def list_reachable_parts(node: ast.If, here: SourceContext, *, is_deep: bool) -> Iterator[ast.AST]:
    """What of it can run: not what is there for type checkers, other systems or versions."""
    truth = _truth(node.test, here)
    if is_deep:
        yield node.test
    yield from node.body if truth is not False else ()
    yield from node.orelse if truth is not True else ()


def find_main_only_functions(tree: ast.Module) -> set[ast.AST]:
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
    is_main = isinstance(node, ast.If) and _truth(node.test, SourceContext()) is False
    return _MAIN if is_main and "__name__" in _mentioned(node) else ""


def _mentioned(node: ast.AST) -> set[str]:
    """The names in it, and the strings, as ``__all__`` and ``globals()["main"]`` have them."""
    found = set()
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                found.add(name)
    return found


def _truth(test: ast.expr, here: SourceContext) -> bool | None:
    """What a condition is known to be on Linux; None where that is open."""
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return False
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return {True: False, False: True, None: None}[_truth(operand, here)]
        case ast.BoolOp(op=ast.And(), values=values):
            return False if False in [_truth(value, here) for value in values] else None
        case ast.Call(
            func=ast.Attribute(value=ast.Attribute(attr="platform"), attr="startswith"),
            args=[ast.Constant(value=str(value))],
        ):
            return "linux".startswith(value)
        case ast.Compare(left=left, ops=[order], comparators=[right]):
            return _compared(left, order, right, here)
    return None


def _compared(
    left: ast.expr, order: ast.cmpop, right: ast.expr, here: SourceContext
) -> bool | None:
    match order, right:
        case ast.Eq(), ast.Constant(value=str(value)):
            return _equals(left, value, here)
        case _, ast.Tuple(elts=numbers) if ast.unparse(left) == "sys.version_info":
            return _is_version(order, numbers, here)
    return None


def _equals(left: ast.expr, value: str, here: SourceContext) -> bool | None:
    if isinstance(left, ast.Name) and left.id == "__name__":
        return None if here.is_main else value == ""
    text = ast.unparse(left)
    known = {"sys.platform": "linux", "os.name": "posix"}.get(text)
    if known is not None:
        return known == value
    if value.lower() in _FOREIGN and _ASKS_FOR_SYSTEM.search(text):
        return False
    return None


_ORDERS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}


def _is_version(order: ast.cmpop, numbers: list[ast.expr], here: SourceContext) -> bool | None:
    """As (3, 11, …) compares, which is longer than the two numbers that are known of it."""
    values = [each.value if isinstance(each, ast.Constant) else None for each in numbers]
    wanted = tuple(value for value in values if isinstance(value, int))
    compare = _ORDERS.get(type(order))
    if compare is None or here.version is None or len(wanted) != len(numbers) or len(wanted) > 2:
        return None
    return bool(compare((*here.version, 0), wanted))
