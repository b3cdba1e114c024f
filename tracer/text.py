"""Text from paths and apps, made safe for terminals and for documents."""

from __future__ import annotations


def escape(text: str) -> str:
    """The text for a terminal: control characters and lone surrogates as Python escapes.

    A lone surrogate stands for a byte that is not UTF-8 (PEP 383).
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def format_count(number: int, noun: str) -> str:
    """The number with its noun: ``1 file``, ``2 files``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def replace_surrogates(text: str) -> str:
    """The text for JSON: each lone surrogate as U+FFFD."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
