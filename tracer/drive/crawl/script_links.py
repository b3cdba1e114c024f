"""Finds what a script names by constants: modules, workers, and what it fetches."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_CHARS = 1 << 20
"""Characters of a script that are read: some 2 s of work."""
_CALLS = frozenset({"fetch", "Worker", "SharedWorker", "importScripts", "register"})
_MODULE_WORDS = frozenset({"import", "from"})
_GETTERS = frozenset({"get", "getJSON"})
_GETTER_OBJECTS = frozenset({"$", "jQuery", "axios"})
_WORDS = (*_CALLS, *_GETTERS, "import", "export", "URL", "open")
"""A script without any of these names nothing that is looked for."""
_QUOTES = "'\"`"
_METHOD_TOKENS = 16
"""Tokens behind a fetched URL among which a method is looked for."""


class ScriptLink(NamedTuple):
    """What a script names.

    :ivar is_module: whether it is relative to the script; else it is to the page.
    """

    url: str
    is_module: bool


def find_script_links(text: str) -> Iterator[ScriptLink]:
    """Yield what a script names."""
    if not any(word in text for word in _WORDS):
        return
    from pygments.lexers.javascript import JavascriptLexer  # noqa: PLC0415 -- slow to import
    from pygments.token import Comment, String, Text  # noqa: PLC0415

    tokens = [
        (value, kind in String)
        for kind, value in JavascriptLexer().get_tokens(text[:_MAX_CHARS])
        if kind not in Comment and kind not in Text and value.strip()
    ]
    tokens = _join_templates(tokens)
    values = [value for value, _ in tokens]
    for index, (value, is_string) in enumerate(tokens):
        url = value[1:-1] if is_string and value[0] in _QUOTES and len(value) > 2 else ""
        if not url or "\\" in url or "${" in url:
            continue
        if (link := _classify(values, index, url)) is not None:
            yield link


def _join_templates(tokens: list[tuple[str, bool]]) -> list[tuple[str, bool]]:
    """Join the parts of a template string without expressions: its quotes are tokens."""
    joined: list[tuple[str, bool]] = []
    index = 0
    while index < len(tokens):
        end = index + 2
        is_template = tokens[index] == ("`", True) and [*islice(tokens, end, end + 1)] == [
            ("`", True)
        ]
        if is_template and tokens[index + 1][1]:
            joined.append((f"`{tokens[index + 1][0]}`", True))
            index += 3
        else:
            joined.append(tokens[index])
            index += 1
    return joined


def _classify(values: list[str], index: int, url: str) -> ScriptLink | None:
    """What a string is, by the tokens before it."""
    before = values[max(0, index - 4) : index]
    last = before[-1] if before else ""
    opened = before[-2] if len(before) > 1 and last == "(" else ""
    is_path = url.startswith(("/", "./", "../", "http:", "https:"))
    if (last in _MODULE_WORDS or opened == "import") and is_path:
        return ScriptLink(url, is_module=True)
    behind = values[index + 1 : index + 1 + _METHOD_TOKENS]
    if opened == "URL" and behind[:4] == [",", "import", ".", "meta"]:
        return ScriptLink(url, is_module=True)
    if opened in _CALLS and not _names_method(behind):
        return ScriptLink(url, is_module=False)
    is_getter = opened in _GETTERS and before[1:2] == ["."] and before[0] in _GETTER_OBJECTS
    is_opened = last == "," and [each.strip(_QUOTES) for each in before[-3:-1]] == ["(", "GET"]
    return ScriptLink(url, is_module=False) if (is_getter and is_path) or is_opened else None


def _names_method(behind: list[str]) -> bool:
    """Whether a request has another method than GET, as far as constants say it."""
    if behind[:1] != [","]:
        return False
    for word, _, value in zip(behind, behind[1:], behind[2:], strict=False):
        if word == ")":
            return False
        if word.strip(_QUOTES) == "method":
            return value.strip(_QUOTES).upper() != "GET"
    return False
