"""Filters a trace by processes (``--drop-process``, ``--only-process``)."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from slimtrace.builder.model import Dropped
from slimtrace.tracer.caution import Caution, UnmatchedCaution
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slimtrace.tracer.trace.trace import ProcessImage, Run, Trace, TracedPath

_MAX_NAMED_PROCESSES = 3


@dataclass(frozen=True, slots=True)
class FilteredTrace:
    """The remaining part of a trace.

    :ivar trace: the runs, processes and paths that count; its runs have new numbers.
    :ivar dropped: the paths that only dropped processes touched.
    """

    trace: Trace
    dropped: tuple[Dropped, ...] = ()
    warnings: tuple[Caution, ...] = ()


def filter_processes(
    trace: Trace, drop: Sequence[str] = (), only: Sequence[str] = (), default: int = 1
) -> FilteredTrace:
    """Remove the paths that only dropped processes touched.

    A program that only dropped processes ran is removed too. The process that started them, a
    shell for example, touched it only to look it up.

    :param drop: globs of processes to drop, with their descendants; ``*`` also matches ``/`` and
        spaces. It overrides ``only``.
    :param only: globs of processes to keep, with their descendants; empty for all.
    :param default: the number of the run that the image starts. This run is kept.
    """
    if not drop and not only:
        return FilteredTrace(trace)
    ids = _find_subtrees(trace.processes, drop)
    if only:
        ids |= {image.id for image in trace.processes} - _find_subtrees(trace.processes, only)
    processes = {image.id: image for image in trace.processes}
    path_filter = _PathFilter(processes, frozenset(ids), trace, bool(only))
    kept, dropped = {}, []
    for path in trace.paths.values():
        users = path_filter.find_users(path)
        if users:
            kept[path.path] = replace(path, processes=users)
        elif path.state is not State.MISSING:
            dropped.append(Dropped(path.path, path_filter.explain(path)))
    warnings = (*_warn_of_globs(trace, drop, only), *_warn_of_command(trace, ids, default - 1))
    remaining = replace(trace, paths=kept)
    return FilteredTrace(_remove_runs(remaining, ids, default - 1), tuple(dropped), warnings)


def matches_process(image: ProcessImage, glob: str) -> bool:
    """Whether the glob matches the program, its name, the command line, or argv[0]'s name."""
    first = os.path.basename(image.argv[0]) if image.argv else ""
    texts = (image.exe, os.path.basename(image.exe), " ".join(image.argv), first)
    return any(fnmatchcase(text, glob) for text in texts)


def _find_subtrees(processes: Iterable[ProcessImage], globs: Sequence[str]) -> set[int]:
    """Find the ids of the process images that match, and of all their descendants."""
    children: dict[int | None, list[int]] = {}
    queue = []
    for image in processes:
        children.setdefault(image.parent, []).append(image.id)
        if any(matches_process(image, glob) for glob in globs):
            queue.append(image.id)
    ids: set[int] = set()
    while queue:
        ident = queue.pop()
        if ident not in ids:
            ids.add(ident)
            queue += children.get(ident, ())
    return ids


@dataclass(frozen=True, slots=True)
class _PathFilter:
    """Decides which paths are kept.

    :ivar dropped: ids of the dropped processes.
    :ivar only: whether unknown processes are dropped too.
    """

    processes: Mapping[int, ProcessImage]
    dropped: frozenset[int]
    trace: Trace
    only: bool

    def find_users(self, path: TracedPath) -> tuple[int, ...]:
        """Find the processes because of which the path is kept; empty if it is dropped."""
        users = tuple(
            ident
            for ident in path.processes
            if ident not in self.dropped and (ident in self.processes or not self.only)
        )
        if users and Use.EXEC in path.uses and self._is_only_looked_up(path, users):
            return ()
        return users

    def _is_only_looked_up(self, path: TracedPath, users: tuple[int, ...]) -> bool:
        """Whether these processes only started dropped ones from the program."""
        dropped = [self.processes[ident] for ident in path.processes if ident in self.dropped]
        parents = {image.parent for image in dropped}
        return parents.issuperset(users) and not any(
            self._may_have_run(self.processes[ident], path) for ident in users
        )

    def _may_have_run(self, image: ProcessImage, path: TracedPath) -> bool:
        """Whether the path may be the image's program, a link to it, or its script."""
        program = self.trace.paths.get(image.exe)
        if path.path == image.exe or (program and program.fingerprint == path.fingerprint):
            return True
        return os.path.basename(path.path) in map(os.path.basename, image.argv)

    def explain(self, path: TracedPath) -> str:
        """Explain why the path is dropped."""
        users = [self.processes[ident] for ident in path.processes if ident in self.processes]
        dropped = [image for image in users if image.id in self.dropped]
        argv0 = [image.argv[0] if image.argv else image.exe for image in dropped]
        names = list(dict.fromkeys(map(os.path.basename, argv0)))
        more = ", …" if len(names) > _MAX_NAMED_PROCESSES else ""
        return (
            f"only dropped processes touched it ({', '.join(names[:_MAX_NAMED_PROCESSES])}{more})"
        )


def _warn_of_globs(trace: Trace, drop: Sequence[str], only: Sequence[str]) -> tuple[Caution, ...]:
    """Warn of globs that match no process."""
    options = [("--drop-process", glob) for glob in drop]
    options += [("--only-process", glob) for glob in only]
    return tuple(
        UnmatchedCaution(f"{option} {glob} matches no process", "slimtrace show TRACE lists them")
        for option, glob in dict.fromkeys(options)
        if not any(matches_process(image, glob) for image in trace.processes)
    )


def _warn_of_command(trace: Trace, dropped: set[int], run: int) -> tuple[Caution, ...]:
    """Warn if the first process of the run that the image starts is dropped."""
    roots = (image for image in trace.processes if image.run == run and image.parent is None)
    first = next(roots, None)
    if first is None or first.id not in dropped:
        return ()
    command = " ".join(trace.runs[run].command)
    fact = f"the image starts {command}, but its process is dropped, so that it may not work"
    return (Caution(fact, "keep that process, or choose another run with --default-run"),)


def _remove_runs(trace: Trace, dropped: set[int], default: int) -> Trace:
    """Remove the dropped processes, and the runs that have no other process."""
    used = {image.run for image in trace.processes}
    kept = {image.run for image in trace.processes if image.id not in dropped}
    runs: dict[int, Run] = {
        number: run
        for number, run in enumerate(trace.runs)
        if number in kept or number not in used or number == default
    }
    numbers = {number: index for index, number in enumerate(runs)}
    processes = tuple(
        replace(image, run=numbers[image.run])
        for image in trace.processes
        if image.id not in dropped
    )
    return replace(trace, runs=tuple(runs.values()), processes=processes)
