"""Reads the constants of a program or library: the strings in its read-only data."""

from __future__ import annotations

import mmap
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.builder.closure.elf.elf import list_read_only_spans, parse_elf
from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.root.root import Root

_MAX_NAME_BYTES = 4096
"""PATH_MAX; a longer constant is not a path (limits.h)."""
_LIBRARY = re.compile(rb"[\w./+@-]+\.so(?:\.[0-9]+)*", re.ASCII)


def read_library_constants(root: Root, path: str) -> frozenset[str]:
    """Read the constants of an ELF file that are the name or path of a shared library.

    :param path: its own path.
    """
    return frozenset(
        text.decode("ascii")
        for text in _read_strings(root, path, b".so")
        if _LIBRARY.fullmatch(text)
    )


def read_path_constants(root: Root, path: str, part: bytes) -> frozenset[str]:
    """Read the absolute paths that are constants of an ELF file and have this part.

    The elements of a search path (``/one:/two``) count each.
    """
    return frozenset(
        element.decode("utf-8", "surrogateescape")
        for text in _read_strings(root, path, part)
        if text.startswith(b"/")
        for element in text.split(b":")
        if element.startswith(b"/") and part in element
    )


def _read_strings(root: Root, path: str, part: bytes) -> list[bytes]:
    try:
        with _map_data(root, path) as (data, spans):
            return [text for span in spans for text in _scan(data, part, *span)]
    except (SlimtraceError, OSError, ValueError):  # it became shorter, or cannot be mapped
        return []


@contextmanager
def _map_data(root: Root, path: str) -> Iterator[tuple[mmap.mmap, Iterable[tuple[int, int]]]]:
    with (
        root.open(path) as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
    ):
        yield data, parse_elf(file, list_read_only_spans) or [(0, len(data))]


def _scan(data: mmap.mmap, part: bytes, start: int, end: int) -> Iterator[bytes]:
    """Find the C strings that contain these bytes.

    A search for the bytes is ten times faster than a regular expression that can match anywhere.
    """
    at = data.find(part, start, end)
    while at >= 0:
        first = data.rfind(b"\0", max(start, at - _MAX_NAME_BYTES), at) + 1
        last = data.find(b"\0", at, min(end, at + _MAX_NAME_BYTES))
        if last >= 0:
            yield data[first or start : last]
        at = data.find(part, at + len(part) if last < 0 else last, end)
