"""Finds the classes that a PHP source uses, by their full names (php.net: namespaces)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAME = r"\\?[^\W\d]\w*(?:\\[^\W\d]\w*)*"
"""Letters of any language. To compile ranges up to \\uffff instead takes 0.3 s."""
_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)|^\s*(?://|\#(?!\[)).*$", re.DOTALL | re.MULTILINE)
_NAMESPACE = re.compile(rf"^\s*(?:<\?php\s+)?namespace\s+({_NAME})\s*[;{{]", re.MULTILINE)
_USE = re.compile(
    rf"(?:^|[;{{}}])\s*use\s+(?!function\b|const\b)({_NAME}[^;(]*)(?=;)", re.MULTILINE
)
_USED = re.compile(rf"({_NAME})\s*(?:as\s+(\w+)\s*)?$", re.IGNORECASE)
_MENTIONS = re.compile(
    rf"(?<![\w$>\\])(?:new|extends|implements|instanceof|insteadof|use)\s+(?P<names>{_NAME}"
    rf"(?:\s*,\s*{_NAME})*)"
    rf"|catch\s*\(\s*(?P<caught>{_NAME}(?:\s*\|\s*{_NAME})*)"
    rf"|(?<![\w$>\\])(?P<static>{_NAME})\s*::"
    rf"|\#\[\s*(?P<attribute>{_NAME})"
)
_QUOTED = re.compile(r"""['"](\\{0,2}[A-Z]\w*(?:\\{1,2}[A-Z]\w*)+)['"]""")
"""A name with a namespace as text: frameworks configure classes in this way."""

_SPECIAL = frozenset({"self", "static", "parent", "class", "function", "const"})


def find_class_names(source: str) -> set[str]:
    """Find the full names of the classes that a source uses when it runs, in any branch.

    Types of parameters load nothing. A name in a string with other words may be found too.
    """
    code = _COMMENT.sub("", source)
    spaces = [(match.start(), match[1].lstrip("\\")) for match in _NAMESPACE.finditer(code)]
    imports = dict(_read_imports(code))
    found: set[str] = set()
    for match in _MENTIONS.finditer(code):
        names = match["names"] or match["caught"] or match["static"] or match["attribute"]
        space = next((name for at, name in reversed(spaces) if at < match.start()), "")
        for name in re.split(r"\s*[,|]\s*", names):
            if name.lower() not in _SPECIAL:
                found.add(_resolve(name, space, imports))
    found.update(re.sub(r"\\+", r"\\", match[1]).lstrip("\\") for match in _QUOTED.finditer(code))
    return found


def _read_imports(code: str) -> Iterator[tuple[str, str]]:
    """Read the ``use`` declarations: alias in lower case → full name."""
    for match in _USE.finditer(code):
        prefix, brace, group = match[1].partition("{")
        for part in (group.rstrip("} \n") if brace else prefix).split(","):
            if used := _USED.fullmatch(part.strip()):
                name = f"{prefix.strip()}{used[1]}".lstrip("\\") if brace else used[1].lstrip("\\")
                yield (used[2] or name.rpartition("\\")[2]).lower(), name


def _resolve(name: str, space: str, imports: dict[str, str]) -> str:
    """Resolve a name as written: full, by an import, or in the namespace."""
    if name.startswith("\\"):
        return name[1:]
    first, slash, rest = name.partition("\\")
    if first.lower() == "namespace" and slash:
        return f"{space}\\{rest}".lstrip("\\")
    if known := imports.get(first.lower()):
        return known + slash + rest
    return f"{space}\\{name}" if space else name
