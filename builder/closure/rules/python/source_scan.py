"""Finds the modules that a Python source names, with regular expressions.

That finds too much: also names in docstrings and in dead branches. :mod:`source` parses, which
takes a hundred times as long. Most sources name no new module, so they are never parsed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.python.module_names import (
    CODEC_NAME,
    DOTTED,
    REFERENCE,
    Import,
    ModuleNames,
    resolve_call,
    resolve_codec,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYWORD = re.compile(r"import(?<!\wimport)\b")
"""A literal first: the search for it is ten times as fast as one for the beginning of a line."""
_BEFORE = re.compile(
    r"(?P<indent>[ \t\f]*)(?P<code>[^\n]*[;:][ \t]*)?"
    rf"(?:from[ \t]*(?P<dots>[. \t]*)(?P<module>{DOTTED})?[ \t\\\r\n]*)?"
)
"""What may precede the keyword in its line."""
_NAMES = re.compile(r"[ \t\\\r\n]*(?P<names>\([^)]*\)|(?:[^\n\\;#]|\\\r?\n)*)")
_CALL = re.compile(
    rf"(?:import_module|__import__)\s*\(\s*[rRuU]?[\"']+(?P<name>\.*{DOTTED})[\"']"
    rf"(?:\s*,\s*(?:package\s*=\s*)?[\"'](?P<package>{DOTTED})[\"'])?"
)
"""An import by a call with constant arguments."""
_CODECS = tuple(
    re.compile(rf"{before}\s*[rRuU]?[\"']+(?P<name>{CODEC_NAME})[\"']")
    for before in (r"code(?<=[ed][nec]code)\s*\(", r"encoding\s*=")
)
"""A codec: Python imports its module at the first use (the module encodings)."""
_STRING = re.compile(rf"[\"'](?P<text>{REFERENCE})[\"']")
_FIRST_NAME = re.compile(rf"\s*({DOTTED})")
_COMMENT = re.compile(r"#[^\n]*")


def scan_source(text: str) -> ModuleNames:
    """Find at least the imports of :func:`parse_source`, if the source has no unusual formatting.

    A statement at the beginning of a line counts as an import at load time. Strings are not
    searched: see :func:`scan_strings`.
    """
    loads: set[Import] = set()
    calls = {resolve_call(match["name"], match["package"] or "") for match in find_calls(text)}
    calls.update(resolve_codec(match["name"]) for match in find_codecs(text))
    for keyword in _KEYWORD.finditer(text):
        start = _find_statement(text, keyword.start())
        before = _BEFORE.fullmatch(text, start, keyword.start())
        if before:
            is_first = not before["indent"] and not before["code"]
            (loads if is_first else calls).update(_read_statement(text, before, keyword.end()))
    return ModuleNames(frozenset(loads), frozenset(calls), frozenset())


def scan_strings(text: str) -> frozenset[str]:
    """Find at least the strings of :func:`parse_source`, if none is put together."""
    return frozenset(match["text"] for match in _STRING.finditer(text))


def find_calls(text: str) -> Iterator[re.Match[str]]:
    """Find imports by a call with constant arguments: groups ``name`` and ``package``."""
    return _CALL.finditer(text) if "import_module" in text or "__import__" in text else iter(())


def find_codecs(text: str) -> Iterator[re.Match[str]]:
    """Find calls with the constant name of a codec: group ``name``."""
    for pattern in _CODECS:
        yield from pattern.finditer(text)


def find_strings(text: str) -> Iterator[re.Match[str]]:
    """Find constants that look like references: group ``text``."""
    return _STRING.finditer(text)


def _find_statement(text: str, keyword: int) -> int:
    """Find the beginning of the line of a keyword, or of the lines that a backslash joins to it."""
    start = text.rfind("\n", 0, keyword) + 1
    while text[max(start - 2, 0) : start] == "\\\n" or text[max(start - 3, 0) : start] == "\\\r\n":
        start = text.rfind("\n", 0, start - 1) + 1
    return start


def _read_statement(text: str, before: re.Match[str], end: int) -> Iterator[Import]:
    """Read the statement of a keyword ``import`` that ends at ``end``."""
    names = _NAMES.match(text, end)
    written = _split_names(names["names"]) if names else ()
    if before["dots"] is None:
        yield from (Import(name) for name in written)
        return
    module, level = before["module"] or "", before["dots"].count(".")
    if module or level:
        yield Import(module, written, level)


def _split_names(text: str) -> tuple[str, ...]:
    """Split a list of names, and remove ``as`` and what follows it."""
    text = _COMMENT.sub("", text).strip("()").replace("\\", " ")
    matches = (_FIRST_NAME.match(part) for part in text.split(","))
    return tuple(match.group(1) for match in matches if match)
