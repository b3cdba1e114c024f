"""The modules and files whose names a source puts together, of which a part is constant."""

from __future__ import annotations

import ast
import posixpath
import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.python.constant_parts import (
    OWN_FILE,
    OWN_NAME,
    PACKAGE,
    UNKNOWN,
    ConstantParts,
    get_function_name,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_BLOCKS = (ast.stmt, ast.ExceptHandler, ast.match_case)
_IMPORTERS = frozenset({"import_module", "__import__", "import_string", "import_object"})
_IMPORT = re.compile(
    r"(?:import_module|__import__|import_string|import_object)\s*\((?!\s*[\"'][\w.]+[\"']\s*[,)])"
)
_PATH_WORDS = (
    *("__file__", "get_data(", "resource_filename", "resource_string", "resource_stream"),
    *("PackageLoader", "open_text", "open_binary", "read_binary", "resource_listdir", "files("),
)
_PUT_TOGETHER = (ast.BinOp, ast.JoinedStr, ast.Call)
_MODULE = re.compile(r"(\.*)((?:[^\W\d]|\0)[\w\0]*(?:\.[\w\0]+)*)")
_MIN_CONSTANT_LETTERS = 3


def may_have_partial_names(text: str, *, of_modules_only: bool = False) -> bool:
    """Whether a source may put names together, by its words."""
    if ("import_" in text or "__import__" in text) and _IMPORT.search(text):
        return True
    return not of_modules_only and any(word in text for word in _PATH_WORDS)


class PartialNames:
    """The names that one source puts together."""

    def __init__(self) -> None:
        self._parts = ConstantParts()
        self._tops: list[ast.AST] = []
        self._calls: list[ast.Call] = []

    def add(self, node: ast.AST, functions: Sequence[ast.AST]) -> None:
        """Add a statement.

        :param functions: the functions around it, the outer one first.
        """
        for part in _list_parts(node):
            for each in ast.walk(part):
                if isinstance(each, ast.Call):
                    self._calls.append(each)
            self._tops.append(part)
        self._parts.add(node, getattr(functions[-1], "name", "") if functions else "")

    def list_modules(self) -> Iterator[str]:
        """List the names of modules to import, with leading dots if they are relative.

        One that begins with a computed part names no package.
        """
        for call in self._calls:
            if get_function_name(call) in _IMPORTERS and call.args:
                for value in self._parts.expand(call.args[0]):
                    yield from _read_module(value, self._find_package(call))

    def list_paths(self) -> Iterator[str]:
        """List the paths that begin at the source's own file or at a package's folder."""
        pending = [*self._tops]
        while pending:
            node = pending.pop()
            values = self._parts.expand(node) if isinstance(node, _PUT_TOGETHER) else []
            paths = {path for value in values if (path := _read_path(value))}
            yield from paths
            if not paths:
                pending += ast.iter_child_nodes(node)

    def _find_package(self, call: ast.Call) -> str:
        """Find the package to which a relative name belongs; "" for the source's own."""
        given = [keyword.value for keyword in call.keywords if keyword.arg == "package"]
        given += call.args[1:2] if get_function_name(call) == "import_module" else []
        values = self._parts.expand(given[0]) if given else [OWN_NAME]
        return values[0] if UNKNOWN not in values[0] and values[0] != OWN_NAME else ""


def _list_parts(node: ast.AST) -> Iterator[ast.AST]:
    """List the expressions that belong to a statement, and to none in its blocks."""
    return (each for each in ast.iter_child_nodes(node) if not isinstance(each, _BLOCKS))


def _read_module(value: str, package: str) -> Iterator[str]:
    if value.startswith(OWN_NAME):
        value, package = "." + value[len(OWN_NAME) :].removeprefix("."), ""
    match = _MODULE.fullmatch(value)
    if match is None:
        return
    dots, name = match.groups()
    if dots and package:
        above = package.split(".")
        dots, name = "", ".".join([*above[: len(above) - len(dots) + 1], name])
    constant = name.partition(UNKNOWN)[0]
    if dots or len(constant) >= _MIN_CONSTANT_LETTERS:
        yield dots + name


def _read_path(value: str) -> str:
    """Read a path with a constant part below its beginning; "" if it is none."""
    if not value.startswith((OWN_FILE, PACKAGE)):
        return ""
    end = 1 if value[0] == OWN_FILE else value.index(PACKAGE, 1) + 1 if PACKAGE in value[1:] else 0
    start, rest = value[:end], value[end:]
    if not rest.startswith("/") or UNKNOWN in start:
        return ""
    below = posixpath.normpath(f"x{rest}" if start != OWN_FILE else f"x/x{rest}")
    names = [name for name in below.split("/") if name not in {"", ".", "..", "x", UNKNOWN}]
    return value if names and names[0].partition(UNKNOWN)[0] else ""
