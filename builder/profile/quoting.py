"""Paths as AppArmor's parser reads them back (apparmor.d(5), FILE GLOBBING)."""

from __future__ import annotations

import os

_SPECIAL = frozenset(b'\\"*?[]{}^')


def quoted(path: str, glob: str = "") -> str:
    """The words for one path, in ASCII and in double quotes, followed by a pattern.

    What a pattern or a quotation would mean by it is escaped; bytes that are not printable, or not
    ASCII, are octal. A variable (``@{X}``) in ``path`` is none then.
    """
    return f'"{escaped(path)}{glob}"'


def escaped(path: str) -> str:
    """As :func:`quoted`, without the quotes."""
    return "".join(map(_escaped, os.fsencode(path)))


def _escaped(byte: int) -> str:
    if byte in _SPECIAL:
        return f"\\{chr(byte)}"
    return chr(byte) if 0x20 <= byte < 0x7F else f"\\{byte:03o}"
