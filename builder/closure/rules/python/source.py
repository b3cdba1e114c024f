"""What a Python source names of other modules, at two prices.

:func:`scan_source` uses regular expressions. It finds too much: also what is in strings and in dead
branches. :func:`parse_source` parses, which takes a hundred times as long. So most sources, which
name nothing new, are never parsed.
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
    """An import, as the language reference has it.

    :ivar level: how many dots it begins with; 0 for an absolute one.
    :ivar module: without these dots.
    :ivar names: what ``from`` takes of it, each of which may be a module.
    :ivar instead_of: what is imported unless it is lacking: this stands in ``except ImportError``.
    """

    module: str
    names: tuple[str, ...] = ()
    level: int = 0
    instead_of: tuple[Import, ...] = ()


class ModuleNames(NamedTuple):
    """What a source names.

    :ivar loads: what it imports while it is loaded: outside functions.
    :ivar calls: what it imports in functions, or by a call, as of ``importlib.import_module``,
        ``encode`` and ``decode``.
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
    r"[ \t\\\r\n]*(?P<taken>\([^)]*\)|(?:[^\n\\;#]|\\\r?\n)*)"
    r"|import\b(?P<modules>(?:[^\n\\;#]|\\\r?\n)*))",
    re.MULTILINE,
)
CALL = re.compile(
    rf"(?:import_module|__import__)\s*\(\s*[rRuU]?[\"']+(?P<name>\.*{_DOTTED})[\"']"
    rf"(?:\s*,\s*(?:package\s*=\s*)?[\"'](?P<package>{_DOTTED})[\"'])?"
)
"""An import by a call with constant words."""
_CODEC_NAME = r"[A-Za-z][A-Za-z0-9_-]*"
CODEC = re.compile(
    rf"(?:\.\s*(?:en|de)code\s*\(|\bencoding\s*=)\s*[rRuU]?[\"']+(?P<name>{_CODEC_NAME})[\"']"
)
"""A codec: its module is imported when it is first used (the module encodings)."""
_STRING = re.compile(rf"[\"'](?P<text>{_REFERENCE.pattern})[\"']")
_FIRST_WORD = re.compile(rf"\s*({_DOTTED})")
_COMMENT = re.compile(r"#[^\n]*")


def scan_source(text: str) -> ModuleNames:
    """At least what :func:`parse_source` finds, if the source holds no oddities of writing.

    What stands at the beginning of a line counts as imported while the source is loaded.
    """
    loads: set[Import] = set()
    calls = {_called(match["name"], match["package"] or "") for match in CALL.finditer(text)}
    calls.update(_codec(match["name"]) for match in CODEC.finditer(text))
    for match in _STATEMENT.finditer(text):
        (calls if match["indent"] else loads).update(_imports(match))
    strings = (match["text"] for match in _STRING.finditer(text))
    return ModuleNames(frozenset(loads), frozenset(calls), frozenset(strings))


def _imports(match: re.Match[str]) -> Iterator[Import]:
    if match["modules"] is not None:
        yield from (Import(name) for name in _words(match["modules"]))
        return
    module, level = match["module"] or "", (match["dots"] or "").count(".")
    if module or level:
        yield Import(module, _words(match["taken"]), level)


def _words(text: str) -> tuple[str, ...]:
    """The names in a list of names, without what follows ``as``."""
    text = _COMMENT.sub("", text).strip("()").replace("\\", " ")
    found = (_FIRST_WORD.match(part) for part in text.split(","))
    return tuple(match.group(1) for match in found if match)


def parse_source(
    text: str, here: SourceContext = ANYWHERE, *, is_deep: bool = True, is_standard: bool = False
) -> ModuleNames | None:
    """What the source names; None where it is not in this Python's grammar.

    :param is_deep: whether expressions are looked into too; else only statements, which is quick.
    :param is_standard: whether it is the standard library's, whose modules are commands besides.
    """
    tree = _tree(text)
    if tree is None:
        return None
    dead = find_main_only_functions(tree) if is_standard else set()
    loads: set[Import] = set()
    calls: set[Import] = set()
    strings: set[str] = set()
    pending: list[tuple[ast.AST, bool, tuple[Import, ...]]] = [(tree, True, ())]
    while pending:
        node, loading, tried = pending.pop()
        found = {each._replace(instead_of=tried) for each in _imported(node)}
        (loads if loading else calls).update(found)
        match node:
            case ast.Constant(value=str(value)) if len(value) < 200 and _REFERENCE.fullmatch(value):
                strings.add(value)
            case ast.Call():
                calls.update(_call(node))
        inside = loading and not isinstance(node, _FUNCTIONS)
        children = ast.iter_child_nodes(node) if is_deep else _statements(node)
        if isinstance(node, ast.If):
            children = list_reachable_parts(node, here, is_deep=is_deep)
        handled = _tried(node)
        for child in children:
            is_handler = isinstance(child, ast.ExceptHandler) and _is_for_imports(child)
            if child not in dead:
                pending.append((child, inside, handled if is_handler else tried))
    return ModuleNames(frozenset(loads), frozenset(calls), frozenset(strings))


def parse_unconditional(text: str) -> frozenset[Import]:
    """What the source cannot be loaded without: imports in no block, before any other matters."""
    tree = _tree(text) or ast.Module([], [])
    return frozenset(each for node in tree.body for each in _imported(node))


_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def _tree(text: str) -> ast.Module | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _imported(node: ast.AST) -> Iterator[Import]:
    match node:
        case ast.Import():
            yield from (Import(alias.name) for alias in node.names)
        case ast.ImportFrom():
            taken = tuple(alias.name for alias in node.names if alias.name != "*")
            yield Import(node.module or "", taken, node.level)


def _tried(node: ast.AST) -> tuple[Import, ...]:
    """What the body of a ``try`` imports."""
    if not isinstance(node, ast.Try):
        return ()
    return tuple(each for statement in node.body for each in _imported(statement))


def _is_for_imports(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    return isinstance(caught, ast.Name) and caught.id in {"ImportError", "ModuleNotFoundError"}


def _call(node: ast.Call) -> Iterator[Import]:
    """``import_module(".x", "pkg")``, ``__import__("x")`` and codecs, by constant words."""
    function = node.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    words = {word.arg: word.value for word in node.keywords}
    match name, node.args:
        case (("import_module" | "__import__"), [ast.Constant(value=str(module)), *rest]):
            package = rest[0] if rest and name == "import_module" else words.get("package")
            value = package.value if isinstance(package, ast.Constant) else ""
            if re.fullmatch(rf"\.*{_DOTTED}", module):
                yield _called(module, value if isinstance(value, str) else "")
    is_method = isinstance(function, ast.Attribute) and name in {"encode", "decode"}
    for value in (*(node.args[:1] if is_method else ()), words.get("encoding")):
        match value:
            case ast.Constant(value=str(codec)) if re.fullmatch(_CODEC_NAME, codec):
                yield _codec(codec)


def _codec(name: str) -> Import:
    """The module of a codec, as the standard library's search finds it."""
    known = normalize_encoding(name).lower()
    return Import(f"encodings.{aliases.get(known, known)}")


def _called(module: str, package: str) -> Import:
    """A relative name counts from the package that is given, else from the importer's own."""
    name = module.lstrip(".")
    level = len(module) - len(name)
    if level and package:
        above = package.split(".")
        return Import(".".join([*above[: len(above) - level + 1], name]))
    return Import(name, (), level)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """The statements directly in a statement."""
    for field in ("body", "orelse", "finalbody", "handlers", "cases"):
        yield from getattr(node, field, ())
