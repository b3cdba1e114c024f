"""What several rules ask of a file: its text, what lies below it, whose script it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from builder.closure.shebang import BINPRM_BUF_SIZE, parse_shebang
from builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from builder.closure.rule import World

_MOST_TEXT = 16 << 20
"""Bytes of a source file that are looked at; longer ones are data."""


def text(world: World, path: str) -> str:
    """A file's text as :func:`os.fsdecode` has it: what it says of paths can be looked up.

    Empty for what is no file.
    """
    found = world.root.resolve(path)
    if not found.exists or world.root.kind(found.path) is not Kind.FILE:
        return ""
    return world.root.head(found.path, _MOST_TEXT).decode("utf-8", "surrogateescape")


def is_source(world: World, path: str, suffixes: tuple[str, ...], interpreter: str) -> bool:
    """Whether the file at an own path has one of these suffixes or, without any, such a ``#!``."""
    if path.endswith(suffixes):
        return world.root.kind(path) is Kind.FILE
    if "." in os.path.basename(path) or world.root.kind(path) is not Kind.FILE:
        return False
    line = parse_shebang(world.root.head(path, BINPRM_BUF_SIZE))
    return line is not None and interpreter in f"{os.path.basename(line[0])} {line[1]}"


def below(world: World, folder: str) -> Iterator[str]:
    """All that is no directory below a folder, as it is looked up; nothing where it is not there.

    A symlink in it to a directory is not walked.
    """
    found = world.root.resolve(folder)
    for name in world.root.listdir(found.path) if found.exists else ():
        if world.root.kind(f"{found.path.rstrip('/')}/{name}") is Kind.DIRECTORY:
            yield from below(world, f"{folder}/{name}")
        else:
            yield f"{folder}/{name}"


def is_file(world: World, path: str) -> bool:
    """Whether a path leads to a file."""
    found = world.root.resolve(path)
    return found.exists and world.root.kind(found.path) is Kind.FILE
