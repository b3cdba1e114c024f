"""Text from paths and apps, made safe for terminals and documents."""

from __future__ import annotations


def printable(text: str) -> str:
    """The text with bytes that are not UTF-8 (lone surrogates) replaced, as JSON needs it."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
