"""Sizes in words."""

from __future__ import annotations


def human(size: float) -> str:
    """Bytes as people read them, in powers of ten as image tools count."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
