"""Stanzas of ``Name: value`` lines, as dpkg has them (deb822(5))."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def stanzas(text: str) -> Iterator[dict[str, str]]:
    """The fields of each stanza by name, without their continuation lines."""
    for block in text.split("\n\n"):
        found = {}
        for line in block.split("\n"):
            if line[:1] not in {"", " ", "\t", "#"}:
                name, _, value = line.partition(":")
                found[name] = value.strip()
        if found:
            yield found
