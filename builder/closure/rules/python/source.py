"""Finds the modules that a Python source names, in a quick and in an exact way.

:func:`scan_source` uses regular expressions. It finds too much: also names in strings and in dead
branches. :func:`parse_source` parses, which takes a hundred times as long. Most sources name no new
module, so they are never parsed.
"""

from __future__ import annotations

import ast
import re
import warnings
from encodings import normalize_encoding
from encodings.aliases import aliases
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.closure.rules.python.conditions import (
    SourceContext,
    find_main_only_functions,
    list_reachable_parts,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


ANYWHERE = SourceContext()


class Import(NamedTuple):
    """An import (language reference, "The import statement").

    :ivar module: its name without leading dots.
    :ivar names: the names after ``from … import``; each may be a module.
    :ivar level: the number of leading dots; 0 for an absolute import.
    :ivar instead_of: the imports that this one replaces: it is in their ``except ImportError``.
    """

    module: str
    names: tuple[str, ...] = ()
    level: int = 0
    instead_of: tuple[Import, ...] = ()


class ModuleNames(NamedTuple):
    """The modules that a source names.

    :ivar loads: imports outside functions: they run when the source is loaded.
    :ivar calls: imports in functions, or by a call of, for example, ``importlib.import_module``,
        ``encode`` or ``decode``.
    :ivar strings: constants that look like ``package.module`` or ``package.module:attribute``.
    """

    loads: frozenset[Import]
    calls: frozenset[Import]
    strings: frozenset[str]


_DOTTED = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_REFERENCE = re.compile(rf"{_DOTTED}:{_DOTTED}|[^\W\d]\w*(?:\.[^\W\d]\w*)+")
_STATEMENT = re.compile(
    r"(?:^|[;:])(?P<indent>[ \t\f]*)"
    rf"(?:from[ \t]*(?P<dots>[. \t]*)(?P<module>{_DOTTED})?[ \t\\\r\n]*\bimport\b"
    r"[ \t\\\r\n]*(?P<names>\([^)]*\)|(?:[^\n\\;#]|\\\r?\n)*)"
    r"|import\b(?P<modules>(?:[^\n\\;#]|\\\r?\n)*))",
    re.MULTILINE,
)
CALL = re.compile(
    rf"(?:import_module|__import__)\s*\(\s*[rRuU]?[\"']+(?P<name>\.*{_DOTTED})[\"']"
    rf"(?:\s*,\s*(?:package\s*=\s*)?[\"'](?P<package>{_DOTTED})[\"'])?"
)
"""An import by a call with constant arguments."""
_CODEC_NAME = r"[A-Za-z][A-Za-z0-9_-]*"
CODEC = re.compile(
    rf"(?:\.\s*(?:en|de)code\s*\(|\bencoding\s*=)\s*[rRuU]?[\"']+(?P<name>{_CODEC_NAME})[\"']"
)
"""A codec: Python imports its module at the first use (the module encodings)."""
_STRING = re.compile(rf"[\"'](?P<text>{_REFERENCE.pattern})[\"']")
_FIRST_NAME = re.compile(rf"\s*({_DOTTED})")
_COMMENT = re.compile(r"#[^\n]*")


def scan_source(text: str) -> ModuleNames:
    """Find at least what :func:`parse_source` finds, if the source has no unusual formatting.

    A statement at the beginning of a line counts as an import at load time.
    """
    loads: set[Import] = set()
    calls = {_resolve_call(match["name"], match["package"] or "") for match in CALL.finditer(text)}
    calls.update(_resolve_codec(match["name"]) for match in CODEC.finditer(text))
    for match in _STATEMENT.finditer(text):
        (calls if match["indent"] else loads).update(_read_statement(match))
    strings = (match["text"] for match in _STRING.finditer(text))
    return ModuleNames(frozenset(loads), frozenset(calls), frozenset(strings))


def _read_statement(match: re.Match[str]) -> Iterator[Import]:
    if match["modules"] is not None:
        yield from (Import(name) for name in _split_names(match["modules"]))
        return
    module, level = match["module"] or "", (match["dots"] or "").count(".")
    if module or level:
        yield Import(module, _split_names(match["names"]), level)


def _split_names(text: str) -> tuple[str, ...]:
    """Split a list of names, and remove ``as`` and what follows it."""
    text = _COMMENT.sub("", text).strip("()").replace("\\", " ")
    matches = (_FIRST_NAME.match(part) for part in text.split(","))
    return tuple(match.group(1) for match in matches if match)


def parse_source(
    text: str, here: SourceContext = ANYWHERE, *, is_deep: bool = True, is_standard: bool = False
) -> ModuleNames | None:
    """Parse a source; None if it is no valid source for this Python.

    :param is_deep: whether to look into expressions too; statements alone are quicker.
    :param is_standard: whether it is a module of the standard library: many of them are also
        commands, and their functions for that do not count.
    """
    tree = _parse_tree(text)
    if tree is None:
        return None
    dead = find_main_only_functions(tree) if is_standard else set()
    loads: set[Import] = set()
    calls: set[Import] = set()
    strings: set[str] = set()
    pending: list[tuple[ast.AST, bool, tuple[Import, ...]]] = [(tree, True, ())]
    while pending:
        node, loading, instead_of = pending.pop()
        imports = {each._replace(instead_of=instead_of) for each in _list_imports(node)}
        (loads if loading else calls).update(imports)
        match node:
            case ast.Constant(value=str(value)) if len(value) < 200 and _REFERENCE.fullmatch(value):
                strings.add(value)
            case ast.Call():
                calls.update(_list_call_imports(node))
        inside = loading and not isinstance(node, _FUNCTIONS)
        children = ast.iter_child_nodes(node) if is_deep else _list_statements(node)
        if isinstance(node, ast.If):
            children = list_reachable_parts(node, here, is_deep=is_deep)
        in_try = _list_try_imports(node)
        for child in children:
            is_handler = isinstance(child, ast.ExceptHandler) and _catches_import_error(child)
            if child not in dead:
                pending.append((child, inside, in_try if is_handler else instead_of))
    return ModuleNames(frozenset(loads), frozenset(calls), frozenset(strings))


def parse_unconditional(text: str) -> frozenset[Import]:
    """Find the imports without which the source cannot be loaded: those in no block."""
    tree = _parse_tree(text) or ast.Module([], [])
    return frozenset(each for node in tree.body for each in _list_imports(node))


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _parse_tree(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _list_imports(node: ast.AST) -> Iterator[Import]:
    match node:
        case ast.Import():
            yield from (Import(alias.name) for alias in node.names)
        case ast.ImportFrom():
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
            if re.fullmatch(rf"\.*{_DOTTED}", module):
                yield _resolve_call(module, value if isinstance(value, str) else "")
    is_method = isinstance(function, ast.Attribute) and name in {"encode", "decode"}
    for value in (*(node.args[:1] if is_method else ()), keywords.get("encoding")):
        match value:
            case ast.Constant(value=str(codec)) if re.fullmatch(_CODEC_NAME, codec):
                yield _resolve_codec(codec)


def _resolve_codec(name: str) -> Import:
    """Find the module of a codec, as the module encodings does."""
    normalized = normalize_encoding(name).lower()
    return Import(f"encodings.{aliases.get(normalized, normalized)}")


def _resolve_call(module: str, package: str) -> Import:
    """Resolve a relative name in the given package, else leave it relative to the importer."""
    name = module.lstrip(".")
    level = len(module) - len(name)
    if level and package:
        above = package.split(".")
        return Import(".".join([*above[: len(above) - level + 1], name]))
    return Import(name, (), level)


def _list_statements(node: ast.AST) -> Iterator[ast.AST]:
    """List the statements directly in a statement."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        yield from getattr(node, field, ())
