"""Whose touches count: those of all processes, or of some that the user names by globs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from slimtrace.builder.model import Dropped
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slimtrace.tracer.trace.trace import ProcessImage, Run, Trace, TracedPath

_MAX_NAMED_PROCESSES = 3


@dataclass(frozen=True, slots=True)
class FilteredTrace:
    """What is left of a trace.

    :ivar trace: with the runs, processes and paths that count; its runs are numbered anew.
    :ivar dropped: the paths that only dropped processes touched.
    """

    trace: Trace
    dropped: tuple[Dropped, ...] = ()
    warnings: tuple[str, ...] = ()


def filter_processes(
    trace: Trace, drop: Sequence[str] = (), only: Sequence[str] = (), default: int = 1
) -> FilteredTrace:
    """Leave out what only these processes touched, or all others, with their descendants.

    A program that only dropped processes ran is left out too, though the process that started
    them looked it up, as shells do.

    :param drop: globs; ``*`` crosses ``/`` and blanks. It wins over ``only``.
    :param default: the number of the run that the image starts, which stays.
    """
    if not drop and not only:
        return FilteredTrace(trace)
    out = _subtrees(trace.processes, drop)
    if only:
        out |= {image.id for image in trace.processes} - _subtrees(trace.processes, only)
    processes = {image.id: image for image in trace.processes}
    left = _Left(processes, frozenset(out), trace, bool(only))
    kept, dropped = {}, []
    for path in trace.paths.values():
        users = left.users(path)
        if users:
            kept[path.path] = replace(path, processes=users)
        elif path.state is not State.MISSING:
            dropped.append(Dropped(path.path, left.why(path)))
    warnings = (*_unmatched(trace, drop, only), *_commands_own(trace, out, default - 1))
    there = replace(trace, paths=kept)
    return FilteredTrace(_without_runs(there, out, default - 1), tuple(dropped), warnings)


def matches_process(image: ProcessImage, glob: str) -> bool:
    """Whether the glob fits the program, its name, the command line, or its first word's name."""
    first = os.path.basename(image.argv[0]) if image.argv else ""
    words = (image.exe, os.path.basename(image.exe), " ".join(image.argv), first)
    return any(fnmatchcase(word, glob) for word in words)


def _subtrees(processes: Iterable[ProcessImage], globs: Sequence[str]) -> set[int]:
    """The ids of the process images that match, and of all that came of them."""
    children: dict[int | None, list[int]] = {}
    queue = []
    for image in processes:
        children.setdefault(image.parent, []).append(image.id)
        if any(matches_process(image, glob) for glob in globs):
            queue.append(image.id)
    found: set[int] = set()
    while queue:
        ident = queue.pop()
        if ident not in found:
            found.add(ident)
            queue += children.get(ident, ())
    return found


@dataclass(frozen=True, slots=True)
class _Left:
    """Who of the processes counts.

    :ivar out: ids of the dropped ones.
    :ivar only: whether a touch by an unknown process is dropped.
    """

    processes: Mapping[int, ProcessImage]
    out: frozenset[int]
    trace: Trace
    only: bool

    def users(self, path: TracedPath) -> tuple[int, ...]:
        """The processes for whose sake the path stays, none where it goes."""
        stay = tuple(
            ident
            for ident in path.processes
            if ident not in self.out and (ident in self.processes or not self.only)
        )
        if stay and Use.EXEC in path.uses and self._is_looked_up(path, stay):
            return ()
        return stay

    def _is_looked_up(self, path: TracedPath, stay: tuple[int, ...]) -> bool:
        """Whether these processes only started dropped ones from the program."""
        gone = [self.processes[ident] for ident in path.processes if ident in self.out]
        parents = {image.parent for image in gone}
        return parents.issuperset(stay) and not any(
            self._may_have_run(self.processes[ident], path) for ident in stay
        )

    def _may_have_run(self, image: ProcessImage, path: TracedPath) -> bool:
        """Whether the path may be the image's program, a link to it, or its script."""
        program = self.trace.paths.get(image.exe)
        if path.path == image.exe or (program and program.fingerprint == path.fingerprint):
            return True
        return os.path.basename(path.path) in map(os.path.basename, image.argv)

    def why(self, path: TracedPath) -> str:
        gone = [self.processes[ident] for ident in path.processes if ident in self.processes]
        gone = [image for image in gone if image.id in self.out]
        names = [os.path.basename(image.argv[0] if image.argv else image.exe) for image in gone]
        named = list(dict.fromkeys(names))
        more = ", …" if len(named) > _MAX_NAMED_PROCESSES else ""
        return (
            f"only dropped processes touched it ({', '.join(named[:_MAX_NAMED_PROCESSES])}{more})"
        )


def _unmatched(trace: Trace, drop: Sequence[str], only: Sequence[str]) -> tuple[str, ...]:
    said = [("--drop-process", glob) for glob in drop] + [("--only-process", glob) for glob in only]
    return tuple(
        f"{option} {glob} matches no process: slimtrace show TRACE lists them"
        for option, glob in dict.fromkeys(said)
        if not any(matches_process(image, glob) for image in trace.processes)
    )


def _commands_own(trace: Trace, out: set[int], run: int) -> tuple[str, ...]:
    own = (image for image in trace.processes if image.run == run and image.parent is None)
    first = next(own, None)
    if first is None or first.id not in out:
        return ()
    words = " ".join(trace.runs[run].command)
    return (f"the image starts {words}, whose process is dropped: it may not work",)


def _without_runs(trace: Trace, out: set[int], default: int) -> Trace:
    """The trace without the runs of which no process is left."""
    used = {image.run for image in trace.processes}
    left = {image.run for image in trace.processes if image.id not in out}
    runs: dict[int, Run] = {
        number: run
        for number, run in enumerate(trace.runs)
        if number in left or number not in used or number == default
    }
    numbers = {number: place for place, number in enumerate(runs)}
    processes = tuple(
        replace(image, run=numbers[image.run]) for image in trace.processes if image.id not in out
    )
    return replace(trace, runs=tuple(runs.values()), processes=processes)
