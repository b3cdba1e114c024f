"""The C libraries of a closure: what glibc opens by itself is looked for on their behalf."""

from __future__ import annotations

import re

_GLIBC = re.compile(r".*/libc(\.so\.6|-2\.[0-9]+\.so)$")
"""Before 2.34 ``libc.so.6`` was a symlink to ``libc-2.31.so``. musl has none of what follows."""


def is_glibc(path: str) -> bool:
    """Whether the file at an own path is glibc's C library, by its name."""
    return _GLIBC.match(path) is not None
