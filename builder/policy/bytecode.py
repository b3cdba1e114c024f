"""Replaces Python sources by their compiled files.

CPython loads ``__pycache__/m.cpython-311.pyc`` only if ``m.py`` exists, of which it then reads only
size and time. It loads ``m.pyc`` without a source (importlib's SourcelessFileLoader, PEP 3147).
"""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from slimtrace.builder.closure.rules.python.pycache import CACHE, find_source_path
from slimtrace.builder.edit import remove_paths
from slimtrace.builder.model import Dropped, Kind, Reason
from slimtrace.builder.root.contents import read_contents
from slimtrace.builder.selection.globs import compile_globs
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slimtrace.builder.context import Context
    from slimtrace.builder.model import Entry, Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_WHY = "its compiled file replaces it"
_REQUESTED = {Reason.INCLUDED, Reason.HEALED}
_HEADER = struct.Struct("<4x3I")  # magic number, flags, the source's time and size
_UNCHECKED = 1
_MASK_32_BITS = 0xFFFFFFFF
_READING = {Use.READ, Use.EXEC}


def remove_sources(selection: Selection, context: Context) -> Selection:
    """With ``--no-python-sources``, remove the sources of modules that have one compiled file.

    A source stays if a run read or executed it, if the user included it, or if a symlink points to
    it: the app may then use it as a file.
    """
    if context.options.python_sources:
        return selection
    trace, root, entries = context.trace, context.root, selection.entries
    is_excluded = compile_globs(root, context.options.exclude)
    stay = {
        *(_resolve(root, path) for path in _list_read_paths(trace)),
        *(_resolve(root, path) for path, entry in entries.items() if entry.kind is Kind.SYMLINK),
    }
    dropped = []
    for source, compiled in _find_compiled(entries).items():
        entry = entries.get(source)
        if is_excluded(compiled) or entry is None or entry.kind is not Kind.FILE or source in stay:
            continue
        if not _REQUESTED & {*entry.reasons} and _is_up_to_date(entries[compiled], entry):
            dropped.append(Dropped(source, _WHY))
    return remove_paths(selection, dropped)


def replace_sources(selection: Selection, _: Context) -> Selection:
    """Move the compiled files of removed sources to the directories of the sources.

    This comes after all steps that read the full image, which has no files at these paths.
    """
    entries = selection.entries
    sources = {item.path for item in selection.dropped if item.why == _WHY}
    moves = {
        f"{source}c": compiled
        for source, compiled in _find_compiled(entries).items()
        if source in sources
    }
    new = {target: replace(entries[path], path=target) for target, path in moves.items()}
    dropped = [Dropped(path, f"it is at {target}") for target, path in moves.items()]
    both = dict(sorted({**entries, **new}.items()))
    return remove_paths(replace(selection, entries=both), dropped)


def _find_compiled(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Map own paths of sources to their compiled files.

    Only sources with one compiled file count, and only if its new path is free.
    """
    compiled: dict[str, list[str]] = {}
    for path, entry in entries.items():
        if entry.kind is Kind.FILE and path.endswith(".pyc") and f"/{CACHE}/" in path:
            compiled.setdefault(find_source_path(path), []).append(path)
    return {
        source: paths[0]
        for source, paths in compiled.items()
        if len(paths) == 1 and f"{source}c" not in entries
    }


def _is_up_to_date(compiled: Entry, source: Entry) -> bool:
    """Whether CPython would load the compiled file for this source (PEP 552).

    False for a file with a hash of the source that CPython checks: the hash is not computed here.
    """
    head = next(iter(read_contents(compiled)), b"")[: _HEADER.size]
    if len(head) < _HEADER.size:
        return False
    flags, seconds, size = _HEADER.unpack(head)
    if flags:
        return bool(flags == _UNCHECKED)
    own = (source.mtime_ns // 1_000_000_000 & _MASK_32_BITS, source.size & _MASK_32_BITS)
    return own == (seconds, size)


def _list_read_paths(trace: Trace) -> list[str]:
    return [path.path for path in trace.with_state(State.FILE) if path.uses & _READING]


def _resolve(root: Root, path: str) -> str:
    return root.resolve(path).path
