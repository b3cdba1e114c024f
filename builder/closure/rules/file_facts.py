"""Facts about a file that several rules need: its text, and which interpreter runs it."""

from __future__ import annotations

import os
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.shebang import BINPRM_BUF_SIZE, parse_shebang
from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from slimtrace.builder.closure.rule import RuleContext

_GLIBC = re.compile(r".*/libc(\.so\.6|-2\.[0-9]+\.so)$")
"""Before 2.34 ``libc.so.6`` was a symlink to ``libc-2.31.so``. musl has no NSS modules, gconv
modules or locale files."""


def is_glibc(path: str) -> bool:
    """Whether the file at an own path is glibc's C library, by its name."""
    return _GLIBC.match(path) is not None


_MAX_SOURCE_BYTES = 16 << 20
"""Bytes of a source file that are read; larger files are data."""


def read_source(context: RuleContext, path: str) -> str:
    """Read the text of a source file; empty if it is no file."""
    return context.root.text(path, _MAX_SOURCE_BYTES)


def is_source(context: RuleContext, path: str, suffixes: tuple[str, ...], interpreter: str) -> bool:
    """Whether a file has one of these suffixes or, without a suffix, a ``#!`` of the interpreter.

    :param path: its own path.
    """
    if path.endswith(suffixes):
        return context.root.kind(path) is Kind.FILE
    if "." in os.path.basename(path) or context.root.kind(path) is not Kind.FILE:
        return False
    line = _read_shebang(context, path)
    return line is not None and interpreter in f"{os.path.basename(line[0])} {line[1]}"


@lru_cache(maxsize=16)
def _read_shebang(context: RuleContext, path: str) -> tuple[str, str] | None:
    """Read a program's first line. Several rules ask for the same file, one after the other."""
    return parse_shebang(context.root.head(path, BINPRM_BUF_SIZE))


def is_file(context: RuleContext, path: str) -> bool:
    """Whether a path leads to a file."""
    own = context.root.resolve(path)
    return own.exists and context.root.kind(own.path) is Kind.FILE
