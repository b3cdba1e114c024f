"""Parses a Python source, and finds the modules that it names.

All rules share one parse of a file. Statements are all looked at; expressions only where a regular
expression shows that a line may contain something of interest.
"""

from __future__ import annotations

import ast
import re
import warnings
from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.rules.python.called_functions import (
    Function,
    find_called_functions,
)
from slimtrace.builder.closure.rules.python.conditions import (
    SourceContext,
    find_main_only_functions,
    list_reachable_parts,
)
from slimtrace.builder.closure.rules.python.module_names import (
    CODEC_NAME,
    DOTTED,
    REFERENCE,
    Import,
    ModuleNames,
    resolve_call,
    resolve_codec,
)
from slimtrace.builder.closure.rules.python.partial_names import PartialNames
from slimtrace.builder.closure.rules.python.source_scan import (
    find_calls,
    find_codecs,
    find_strings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

ANYWHERE = SourceContext()
_REFERENCE = re.compile(REFERENCE)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_BLOCKS = (ast.stmt, ast.ExceptHandler, ast.match_case)


class _Block(NamedTuple):
    """A statement to look at.

    :ivar functions: the functions around it.
    :ivar holder: the class around it, if that is nearer than a function.
    """

    node: ast.AST
    functions: tuple[ast.AST, ...] = ()
    holder: str = ""
    instead_of: tuple[Import, ...] = ()


def parse_source(
    text: str,
    here: SourceContext = ANYWHERE,
    *,
    is_standard: bool = False,
    has_patterns: bool = False,
) -> ModuleNames | None:
    """Parse a source; None if it is no valid source for this Python.

    :param is_standard: whether it is a module of the standard library: many of them are also
        commands, and their functions for that do not count.
    :param has_patterns: whether names that it puts together are found too; no paths of a module of
        the standard library.
    """
    tree = _parse_tree(text)
    if tree is None:
        return None
    is_command = is_standard and "__main__" in text
    dead = find_main_only_functions(tree, text) if is_command else set()
    hints = _list_hints(text)
    inside: dict[tuple[ast.AST, ...], set[Import]] = {(): set()}
    calls: set[Import] = set()
    strings: set[str] = set()
    functions: list[Function] = []
    unreachable: list[ast.AST] = []
    partial = PartialNames() if has_patterns else None
    pending = [_Block(tree)]
    while pending:
        block = pending.pop()
        node = block.node
        imports = [each._replace(instead_of=block.instead_of) for each in _list_imports(node)]
        if imports:
            inside.setdefault(block.functions, set()).update(imports)
        if isinstance(node, _FUNCTIONS):
            functions.append(Function(node, block.holder))
        if partial is not None:
            partial.add(node, block.functions)
        if _has_hint(node, hints):
            _read_expressions(node, here, calls, strings)
        blocks = _list_blocks(block, here)
        if isinstance(node, ast.If):
            reachable = {each.node for each in blocks}
            unreachable += {*node.body, *node.orelse} - reachable
        pending += (each for each in blocks if each.node not in dead)
    loads = inside.pop(())
    called = find_called_functions(text, functions, (*dead, *unreachable)) if inside else set()
    at_load = (imports for around, imports in inside.items() if called.issuperset(around))
    return ModuleNames(
        frozenset(loads),
        frozenset(calls.union(*inside.values())),
        frozenset(strings),
        frozenset[Import]().union(*at_load),
        frozenset(partial.list_modules() if partial else ()),
        frozenset(partial.list_paths() if partial and not is_standard else ()),
    )


def parse_unconditional(text: str) -> frozenset[Import]:
    """Find the imports without which the source cannot be loaded: those in no block."""
    tree = _parse_tree(text) or ast.Module([], [])
    return frozenset(each for node in tree.body for each in _list_imports(node))


def _parse_tree(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _list_hints(text: str) -> list[int]:
    """List the numbers of the lines whose expressions may name a module, sorted."""
    matches = (*find_calls(text), *find_codecs(text), *find_strings(text))
    starts = sorted({match.start() for match in matches})
    lines: list[int] = []
    line, at = 1, 0
    for start in starts:
        line += text.count("\n", at, start)
        at = start
        lines.append(line)
    return lines


def _has_hint(node: ast.AST, hints: list[int]) -> bool:
    first: int | None = getattr(node, "lineno", None)
    if first is None or not hints:
        return bool(hints) and isinstance(node, ast.match_case)
    decorators = getattr(node, "decorator_list", None)
    first = decorators[0].lineno if decorators else first
    at = bisect_left(hints, first)
    last: int = getattr(node, "end_lineno", None) or first
    return at < len(hints) and hints[at] <= last


def _read_expressions(
    node: ast.AST, here: SourceContext, calls: set[Import], strings: set[str]
) -> None:
    """Read the expressions that belong to a statement, and to none in its blocks."""
    if isinstance(node, ast.If):
        parts = list_reachable_parts(node, here, is_deep=True)
    else:
        parts = ast.iter_child_nodes(node)
    for part in parts:
        for each in () if isinstance(part, _BLOCKS) else ast.walk(part):
            if isinstance(each, ast.Constant):
                value = each.value
                if isinstance(value, str) and len(value) < 200 and _REFERENCE.fullmatch(value):
                    strings.add(value)
            elif isinstance(each, ast.Call):
                calls.update(_list_call_imports(each))


def _list_blocks(block: _Block, here: SourceContext) -> list[_Block]:
    """List the statements directly in a statement that can run."""
    node, functions, holder, instead_of = block
    if isinstance(node, _FUNCTIONS):
        functions, holder = (*functions, node), ""
    elif isinstance(node, ast.ClassDef):
        holder = node.name
    children: Iterable[ast.AST] = (
        list_reachable_parts(node, here, is_deep=False)
        if isinstance(node, ast.If)
        else _list_statements(node)
    )
    in_try = _list_try_imports(node)
    blocks = []
    for child in children:
        is_handler = isinstance(child, ast.ExceptHandler) and _catches_import_error(child)
        replaced = in_try if is_handler else instead_of
        blocks.append(_Block(child, functions, holder, replaced))
    return blocks


def _list_imports(node: ast.AST) -> Iterator[Import]:
    if isinstance(node, ast.Import):
        yield from (Import(alias.name) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        names = tuple(alias.name for alias in node.names if alias.name != "*")
        yield Import(node.module or "", names, node.level)


def _list_try_imports(node: ast.AST) -> tuple[Import, ...]:
    """List the imports in the body of a ``try``."""
    if not isinstance(node, ast.Try):
        return ()
    return tuple(each for statement in node.body for each in _list_imports(statement))


def _catches_import_error(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    return isinstance(caught, ast.Name) and caught.id in {"ImportError", "ModuleNotFoundError"}


def _list_call_imports(node: ast.Call) -> Iterator[Import]:
    """List the imports of a call with constant arguments.

    As ``import_module(".x", "pkg")``, ``__import__("x")``, and calls with the name of a codec.
    """
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    keywords = {keyword.arg: keyword.value for keyword in node.keywords}
    match name, node.args:
        case (("import_module" | "__import__"), [ast.Constant(value=str(module)), *rest]):
            package = rest[0] if rest and name == "import_module" else keywords.get("package")
            value = package.value if isinstance(package, ast.Constant) else ""
            if re.fullmatch(rf"\.*{DOTTED}", module):
                yield resolve_call(module, value if isinstance(value, str) else "")
    is_method = isinstance(function, ast.Attribute) and name in {"encode", "decode"}
    for value in (*(node.args[:1] if is_method else ()), keywords.get("encoding")):
        match value:
            case ast.Constant(value=str(codec)) if re.fullmatch(CODEC_NAME, codec):
                yield resolve_codec(codec)


def _list_statements(node: ast.AST) -> Iterator[ast.AST]:
    """List the statements directly in a statement."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        yield from getattr(node, field, ())
