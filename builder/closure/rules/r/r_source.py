"""Reads the names of packages in R code (R Language Definition, "Lexical tokens").

No parser of R has wheels for all systems on which slimtrace runs. Calls with a constant name are
simple enough for a scanner: comments and strings are told apart first.
"""

from __future__ import annotations

import re

_PACKAGE = r"[A-Za-z][A-Za-z0-9.]*[A-Za-z0-9]"
_NAME = re.compile(_PACKAGE)

_TOKENS = re.compile(
    r"#[^\n]*"
    r"""|[rR](?P<raw>["'])(?P<dashes>-*)(?:\(.*?\)|\[.*?\]|\{.*?\})(?P=dashes)(?P=raw)"""
    r"""|(?P<quote>["'])(?P<text>(?:\\.|(?!(?P=quote))[^\\])*)(?P=quote)""",
    re.DOTALL,
)
"""Comments, raw strings and strings."""

_LOADS = re.compile(
    r"(?<![\w.])(?:library|require|requireNamespace|loadNamespace|attachNamespace|getNamespace"
    r"|asNamespace|use|check_installed|is_installed|from)"
    rf"\s*\(\s*(?:[\w.]+\s*=\s*)?[\"'`]?(?P<name>{_PACKAGE})[\"'`]?\s*[,)]"
)
"""Functions of base, rlang and import that take the name of a package first."""

_NAMESPACE = re.compile(rf"(?<![\w.])[\"'`]?(?P<name>{_PACKAGE})[\"'`]?\s*:::?(?=\s*[\w.`\"'])")
_ARGUMENT = re.compile(rf"(?<![\w.])package\s*=\s*[\"'](?P<name>{_PACKAGE})[\"']")
"""An argument of data, system.file, packageVersion and others."""

_SINGLE = (_LOADS, _NAMESPACE, _ARGUMENT)
_SEVERAL = re.compile(r"(?<![\w.])(?:p_load|box::use)\s*\((?P<names>[^()]*)\)")
"""Functions of pacman and box that take any number of packages."""

_BY_VARIABLE = re.compile(r"\bcharacter\.only\b")
"""An argument of library and require: the name of the package is in a variable."""


def find_package_names(source: str) -> set[str]:
    """Find the names that code gives to functions which load packages, in any branch.

    Where it loads packages whose names are in variables, each of its strings counts that can be a
    name. Names need not be of packages that are installed.
    """
    strings: set[str] = set()
    code = _TOKENS.sub(lambda token: _blank(token, strings), source)
    names = {match["name"] for pattern in _SINGLE for match in pattern.finditer(code)}
    for match in _SEVERAL.finditer(code):
        names.update(_NAME.findall(match["names"]))
    return names | strings if _BY_VARIABLE.search(code) else names


def _blank(token: re.Match[str], strings: set[str]) -> str:
    """Remove comments, and the text of strings that cannot be a package's name."""
    text = token["text"] or ""
    if _NAME.fullmatch(text):
        strings.add(text)
        return token[0]
    return '""' if token["quote"] or token["raw"] else ""
