"""Turns clues into suggestions: files that exist and are not kept, the likeliest first."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind, Selection
from slimtrace.builder.policy.secrets import find_secrets
from slimtrace.builder.root.excluded_paths import exclusion_reason
from slimtrace.builder.suggest.clues import CLUE_FINDERS, Clue, make_context

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_MIN_GROUP_FILES = 4
"""With so many of one folder, suffix and rank, one glob stands for all."""
_MAX_SHALLOW_DEPTH = 2
"""The name of a directory so near the root, such as ``/usr/share``, is no clue."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Files that the app is likely to need.

    :ivar path: an argument of ``--include``: an own path, or a glob for several in one folder.
    :ivar why: the clue, as a phrase for people.
    :ivar files: the number of regular files; ``size`` their bytes.
    """

    path: str
    why: str
    files: int
    size: int


def suggest(trace: Trace, root: Root, selection: Selection) -> tuple[Suggestion, ...]:
    """Suggest files of the full image that have a clue and are not in the selection.

    Secrets, and files that were left out on purpose, are not suggested.

    :raises SlimtraceError: a file of the full image cannot be read.
    """
    context = make_context(trace, root, selection)
    best: dict[str, Clue] = {}
    for find in CLUE_FINDERS:
        for clue in find(context):
            path = root.resolve(clue.path).path
            if path not in best or best[path].rank > clue.rank:
                best[path] = clue._replace(path=path)
    left_out = {item.path for item in selection.dropped}
    fresh = {
        path: clue
        for path, clue in best.items()
        if path not in left_out
        and exclusion_reason(path) is None
        and _is_new(root, selection, path)
    }
    entries = {path: root.entry(path, ()) for path in fresh if root.kind(path) is Kind.FILE}
    secrets = {*find_secrets(root, Selection(entries))}
    found = [clue for path, clue in fresh.items() if path not in secrets]
    return tuple(_group_clues(root, found))


def _is_new(root: Root, selection: Selection, path: str) -> bool:
    kind = root.kind(path)
    if kind is Kind.DIRECTORY:
        deep = path.count("/") > _MAX_SHALLOW_DEPTH
        return deep and not any(other.startswith(f"{path}/") for other in selection.entries)
    return kind is Kind.FILE and path not in selection.entries


def _group_clues(root: Root, clues: Iterable[Clue]) -> Iterator[Suggestion]:
    groups: dict[tuple[int, str, str], list[Clue]] = defaultdict(list)
    for clue in clues:
        folder, name = os.path.split(clue.path)
        groups[clue.rank, folder, os.path.splitext(name)[1]].append(clue)
    lines: list[tuple[int, Suggestion]] = []
    for (rank, folder, suffix), members in groups.items():
        if len(members) < _MIN_GROUP_FILES or not suffix:
            lines += [(rank, _make_suggestion(root, clue)) for clue in members]
            continue
        size = sum(_measure_files(root, [clue.path for clue in members]).values())
        glob = f"{folder}/*{suffix}"
        lines.append((rank, Suggestion(glob, min(members).why, len(members), size)))
    yield from (line for _, line in sorted(lines, key=lambda pair: (pair[0], pair[1].path)))


def _make_suggestion(root: Root, clue: Clue) -> Suggestion:
    sizes = _measure_files(root, [clue.path])
    return Suggestion(clue.path, clue.why, len(sizes), sum(sizes.values()))


def _measure_files(root: Root, paths: Iterable[str]) -> Mapping[str, int]:
    """The size in bytes of each regular file at and below the paths."""
    found: dict[str, int] = {}
    pending = [*paths]
    while pending:
        path = pending.pop()
        if root.kind(path) is Kind.DIRECTORY:
            pending += [f"{path}/{name}" for name in root.listdir(path)]
        elif root.kind(path) is Kind.FILE:
            fingerprint = root.fingerprint(path)
            found[path] = fingerprint.size if fingerprint else 0
    return found
