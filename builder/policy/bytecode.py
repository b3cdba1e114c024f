"""Python without its sources: what was compiled of them takes their place.

CPython loads ``__pycache__/m.cpython-311.pyc`` only beside ``m.py``, of which it then reads nothing
but size and time; ``m.pyc`` it loads without (importlib's SourcelessFileLoader, PEP 3147).
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

_WHY = "what was compiled of it stands for it"
_ASKED_FOR = {Reason.INCLUDED, Reason.HEALED}
_HEADER = struct.Struct("<4x3I")  # magic number, flags, the source's time and size
_UNCHECKED = 1
_WORD = 0xFFFFFFFF
_READING = {Use.READ, Use.EXEC}


def remove_sources(selection: Selection, context: Context) -> Selection:
    """With ``--no-python-sources``, remove the sources of modules that have one compiled file.

    A source stays if a run read or executed it, if the user included it or if a link leads to it:
    it is then more than a source.
    """
    if context.options.python_sources:
        return selection
    trace, root, entries = context.trace, context.root, selection.entries
    is_excluded = compile_globs(root, context.options.exclude)
    stay = {
        *(_own(root, path) for path in _read(trace)),
        *(_own(root, path) for path, entry in entries.items() if entry.kind is Kind.SYMLINK),
    }
    gone = []
    for source, compiled in _compiled(entries).items():
        entry = entries.get(source)
        if is_excluded(compiled) or entry is None or entry.kind is not Kind.FILE or source in stay:
            continue
        if not _ASKED_FOR & {*entry.reasons} and _is_of(entries[compiled], entry):
            gone.append(Dropped(source, _WHY))
    return remove_paths(selection, gone)


def replace_sources(selection: Selection, _: Context) -> Selection:
    """Move the compiled files of the sources that were removed to the places of the sources.

    This comes after every step that reads the full image, which has no such files there.
    """
    entries = selection.entries
    left_out = {item.path for item in selection.dropped if item.why == _WHY}
    moved = {
        f"{source}c": compiled
        for source, compiled in _compiled(entries).items()
        if source in left_out
    }
    there = {place: replace(entries[path], path=place) for place, path in moved.items()}
    gone = [Dropped(path, f"it is at {place}") for place, path in moved.items()]
    both = dict(sorted({**entries, **there}.items()))
    return remove_paths(replace(selection, entries=both), gone)


def _compiled(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Own paths of sources, and of the one kept file that was compiled of each.

    None whose place is taken.
    """
    found: dict[str, list[str]] = {}
    for path, entry in entries.items():
        if entry.kind is Kind.FILE and path.endswith(".pyc") and f"/{CACHE}/" in path:
            found.setdefault(find_source_path(path), []).append(path)
    return {
        source: paths[0]
        for source, paths in found.items()
        if len(paths) == 1 and f"{source}c" not in entries
    }


def _is_of(compiled: Entry, source: Entry) -> bool:
    """Whether CPython would load this in the place of that source (PEP 552).

    Of what is to be checked by its hash that is not asked: no.
    """
    head = next(iter(read_contents(compiled)), b"")[: _HEADER.size]
    if len(head) < _HEADER.size:
        return False
    flags, seconds, size = _HEADER.unpack(head)
    if flags:
        return bool(flags == _UNCHECKED)
    own = (source.mtime_ns // 1_000_000_000 & _WORD, source.size & _WORD)
    return own == (seconds, size)


def _read(trace: Trace) -> list[str]:
    return [path.path for path in trace.with_state(State.FILE) if path.uses & _READING]


def _own(root: Root, path: str) -> str:
    return root.resolve(path).path
