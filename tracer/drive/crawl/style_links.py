"""Finds what a style sheet names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMENT = re.compile(r"/\*.*?(?:\*/|\Z)", re.DOTALL)
_NAME = re.compile(
    r"""@import\s*(?:"([^"\n]*)"|'([^'\n]*)')"""
    r"""|(?<![\w-])url\(\s*(?:"([^"\n]*)"|'([^'\n]*)'|([^)"'\s]*))\s*\)""",
    re.IGNORECASE,
)
"""``@import "URL"`` and ``url(URL)`` (CSS Syntax, section 4.3.6)."""


def find_style_links(text: str) -> Iterator[str]:
    """Yield the URLs that a style sheet, or a part of one, names."""
    if "url(" not in text.lower() and "@import" not in text.lower():
        return
    for found in _NAME.finditer(_COMMENT.sub(" ", text)):
        url = next((group for group in found.groups() if group), "")
        if url.strip():
            yield url.strip()
