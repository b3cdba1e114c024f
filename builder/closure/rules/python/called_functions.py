"""Finds the functions that a module calls while it is loaded."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
_CALL = re.compile(r"(?P<dot>\.\s*)?(?<!class )\b(?P<name>[^\W\d]\w*)\s*\(")
_OWNER = re.compile(r"(\w+)\s*\.\s*\w+\s*\(")
_DECORATOR = re.compile(r"^[ \t]*@([\w. ]+)[ \t\r]*$", re.MULTILINE)
_BASES = re.compile(r"^[ \t]*class\b[^(\n]*\(([^)]*)\)", re.MULTILINE)
_NAME = re.compile(r"[^\W\d]\w*")
_SPECIAL = re.compile(r"__\w+__")
_NO_FUNCTION, _DEAD = -1, -2


class Function(NamedTuple):
    """A function or method of a source.

    :ivar holder: the name of the class for a method; "" for a function.
    """

    node: FunctionNode
    holder: str = ""


class _Calls:
    """The names that code calls, found by regular expressions: also in strings and comments.

    :ivar functions: names that are called by themselves: functions and classes.
    :ivar methods: names that are called after a dot.
    :ivar owners: names before such a dot, and bases of classes.
    """

    def __init__(self) -> None:
        self.functions: set[str] = set()
        self.methods: set[str] = set()
        self.owners: set[str] = set()

    def add(self, segment: str) -> None:
        """Add the calls in a segment of a source."""
        decorators = (f"{match[1].strip()}(" for match in _DECORATOR.finditer(segment))
        for text in (segment, *decorators):
            for match in _CALL.finditer(text):
                (self.methods if match["dot"] else self.functions).add(match["name"])
            self.owners.update(_OWNER.findall(text))
        for match in _BASES.finditer(segment):
            self.owners.update(_NAME.findall(match[1]))

    def has(self, function: Function) -> bool:
        """Whether the function is called: a method, if its class is used too."""
        name = function.node.name
        if not function.holder:
            return name in self.functions
        is_used = function.holder in self.functions or function.holder in self.owners
        return is_used and (name in self.methods or _SPECIAL.fullmatch(name) is not None)


def find_called_functions(
    text: str, functions: Sequence[Function], dead: Iterable[ast.AST] = ()
) -> set[ast.AST]:
    """Find the functions that code outside functions calls, directly or through others.

    :param functions: all functions of the source; those that contain others come first.
    :param dead: statements that do not run when the module is loaded.
    """
    segments = _split_by_function(text, functions, dead)
    called: set[ast.AST] = set()
    calls = _Calls()
    fresh = [segments.pop(_NO_FUNCTION, "")]
    while fresh:
        for segment in fresh:
            calls.add(segment)
        more = [at for at, each in enumerate(functions) if at in segments and calls.has(each)]
        called.update(functions[at].node for at in more)
        fresh = [segments.pop(at) for at in more]
    return called


def _split_by_function(
    text: str, functions: Sequence[Function], dead: Iterable[ast.AST]
) -> dict[int, str]:
    """Join the lines that belong to each function, by its index, and to no inner one."""
    lines = text.split("\n")
    owners = [_NO_FUNCTION] * len(lines)
    spans = [(function.node, at) for at, function in enumerate(functions)]
    for node, owner in (*spans, *((each, _DEAD) for each in dead)):
        first: int = getattr(node, "lineno", 1) - 1
        last: int = getattr(node, "end_lineno", None) or first + 1
        owners[first:last] = [owner] * (last - first)
    segments: dict[int, list[str]] = {at: [] for at in range(_NO_FUNCTION, len(functions))}
    for owner, line in zip(owners, lines, strict=False):
        if owner != _DEAD:
            segments[owner].append(line)
    return {at: "\n".join(part) for at, part in segments.items()}
