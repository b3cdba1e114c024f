"""Remembers which facts are in the trace: each is written once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.trace.trace import State

if TYPE_CHECKING:
    from collections.abc import Hashable

    from slimtrace.tracer.trace.trace import PathState, Use

MAX_GAPS_OF_A_KIND = 200
"""More would not help a reader, and could fill the disk."""


class Repeats:
    """Remembers the facts of one run that were written.

    It never forgets, because lines stay in the trace. The *meaning* of a call may change during
    the run; that is cached in :mod:`slimtrace.tracer.decode.call_cache`.
    """

    def __init__(self) -> None:
        # Hashes need a third of the memory. Two touches share one with a chance of 2**-64.
        self._touches: set[int] = set()
        self._files: set[int] = set()
        self._facts: set[Hashable] = set()
        self._gaps: dict[str, set[str]] = {}

    def is_new_touch(self, process: int, use: Use, place: PathState) -> bool:
        """Whether a process image makes this touch for the first time."""
        key = hash((process, id(use), place.path, id(place.state)))  # enums hash slowly
        if key in self._touches:
            return False
        self._touches.add(key)
        if place.state is State.FILE:
            self._files.add(hash(place.path))
        return True

    def is_new(self, *fact: Hashable) -> bool:
        """Whether a fact is new.

        :param fact: its kind, then its values.
        """
        if fact in self._facts:
            return False
        self._facts.add(fact)
        return True

    def is_new_gap(self, kind: str, detail: str) -> bool:
        """Whether a gap is new, and one of the first of its kind."""
        details = self._gaps.setdefault(kind, set())
        if detail in details or len(details) >= MAX_GAPS_OF_A_KIND:
            return False
        details.add(detail)
        return True

    @property
    def file_count(self) -> int:
        """How many paths of the full image were touched."""
        return len(self._files)

    @property
    def gap_counts(self) -> dict[str, int]:
        """How many gaps of each kind were new."""
        return {kind: len(details) for kind, details in self._gaps.items()}
