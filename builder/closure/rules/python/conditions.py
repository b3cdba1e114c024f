"""Decides which branches of a source, and which functions of a library, can run in the image."""

from __future__ import annotations

import ast
import operator
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_FOREIGN = frozenset(
    {"aix", "android", "cygwin", "darwin", "emscripten", "ios", "java", "nt", "vxworks"}
    | {"wasi", "win32", "windows"}
)
"""Values of ``sys.platform``, ``os.name`` and ``platform.system()`` elsewhere, in lower case."""
_SYSTEM_NAME = re.compile(r"(?:^|[._])(?:os|os_?name|platform|sys|system)(?![^\W_])")
_WORD = re.compile(r"[^\W\d]\w*")
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True, slots=True)
class SourceContext:
    """How a source runs.

    :ivar is_main: whether it may have run as the main module.
    :ivar version: the version of Python, as 3 and 11; None if it is not known.
    """

    is_main: bool = False
    version: tuple[int, int] | None = None


def list_reachable_parts(node: ast.If, here: SourceContext, *, is_deep: bool) -> Iterator[ast.AST]:
    """List the parts that can run: no branches for type checkers, other systems or versions."""
    truth = _evaluate(node.test, here)
    if is_deep:
        yield node.test
    yield from node.body if truth is not False else ()
    yield from node.orelse if truth is not True else ()


def find_main_only_functions(tree: ast.Module, text: str) -> set[ast.AST]:
    """Find the functions of a module that only its ``if __name__ == "__main__"`` uses.

    Modules of the standard library have them as commands or tests. Importers of the module do not
    call them. A function that other code mentions does not count, nor one that no code mentions:
    other modules may call it.

    :param text: the source. Names are searched in the tree only where its words show that a
        function with an import may be mentioned.
    """
    lines = text.split("\n")
    functions = {node.name: node for node in tree.body if isinstance(node, _FUNCTIONS)}
    words = {node: _list_words(node, lines) for node in tree.body}
    users: dict[str, set[str]] = {}
    list_mentions = cache(_list_mentions)
    pending = [name for name, node in functions.items() if "import" in words[node]]
    while pending:
        name = pending.pop()
        if name not in users:
            users[name] = {
                _get_owner(node, words[node])
                for node in tree.body
                if name in words[node] and name in list_mentions(node)
            } - {name}
            pending += users[name] & functions.keys()
    main_only: set[str] = {_MAIN}
    while more := {name for name in users if users[name] and users[name] <= main_only} - main_only:
        main_only |= more
    return {functions[name] for name in main_only - {_MAIN}}


_MAIN = "__main__"


def _get_owner(node: ast.stmt, words: set[str]) -> str:
    if isinstance(node, _FUNCTIONS):
        return node.name
    is_main = isinstance(node, ast.If) and _evaluate(node.test, SourceContext()) is False
    return _MAIN if is_main and "__name__" in words else ""


def _list_words(node: ast.stmt, lines: list[str]) -> set[str]:
    return {
        word for line in lines[node.lineno - 1 : node.end_lineno] for word in _WORD.findall(line)
    }


def _list_mentions(node: ast.AST) -> set[str]:
    """List the names in a node, and its strings, as in ``__all__`` and ``globals()["main"]``.

    A function's own name is none of them.
    """
    names = set()
    for each in ast.walk(node):
        match each:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.Constant(value=str(name)):
                names.add(name)
    return names


def _evaluate(test: ast.expr, here: SourceContext) -> bool | None:
    """Evaluate a condition for Linux; None if the result is not known."""
    match test:
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return False
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            return {True: False, False: True, None: None}[_evaluate(operand, here)]
        case ast.BoolOp(op=ast.And(), values=values):
            return False if False in [_evaluate(value, here) for value in values] else None
        case ast.Call(
            func=ast.Attribute(value=ast.Attribute(attr="platform"), attr="startswith"),
            args=[ast.Constant(value=str(value))],
        ):
            return "linux".startswith(value)
        case ast.Compare(left=left, ops=[order], comparators=[right]):
            return _evaluate_comparison(left, order, right, here)
    return None


def _evaluate_comparison(
    left: ast.expr, order: ast.cmpop, right: ast.expr, here: SourceContext
) -> bool | None:
    match order, right:
        case ast.Eq(), ast.Constant(value=str(value)):
            return _compare_string(left, value, here)
        case _, ast.Tuple(elts=numbers) if ast.unparse(left) == "sys.version_info":
            return _compare_version(order, numbers, here)
    return None


def _compare_string(left: ast.expr, value: str, here: SourceContext) -> bool | None:
    if isinstance(left, ast.Name) and left.id == "__name__":
        return None if here.is_main else value == ""
    text = ast.unparse(left)
    known = {"sys.platform": "linux", "os.name": "posix"}.get(text)
    if known is not None:
        return known == value
    if value.lower() in _FOREIGN and _SYSTEM_NAME.search(text):
        return False
    return None


_ORDERS = {ast.Lt: operator.lt, ast.LtE: operator.le, ast.Gt: operator.gt, ast.GtE: operator.ge}


def _compare_version(order: ast.cmpop, numbers: list[ast.expr], here: SourceContext) -> bool | None:
    """Compare ``sys.version_info`` with these numbers.

    ``sys.version_info`` is longer than the two known numbers, so a third one follows them.
    """
    values = [each.value if isinstance(each, ast.Constant) else None for each in numbers]
    version = tuple(value for value in values if isinstance(value, int))
    compare = _ORDERS.get(type(order))
    if compare is None or here.version is None or len(version) != len(numbers) or len(version) > 2:
        return None
    return bool(compare((*here.version, 0), version))
