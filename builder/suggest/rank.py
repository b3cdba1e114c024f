"""From clues to suggestions: what exists and is not kept, the likeliest first."""

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
"""So many of one folder, kind and rank make one line."""
_MAX_SHALLOW_DEPTH = 2
"""Directories so near the root (``/usr/share``) say nothing by being named."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """What is likely to be needed.

    :ivar path: a word for ``--include``: an own path, or a glob for several of one folder.
    :ivar why: what points at it, in words.
    :ivar files: regular files that it stands for; ``size`` in bytes.
    """

    path: str
    why: str
    files: int
    size: int


def suggest(trace: Trace, root: Root, selection: Selection) -> tuple[Suggestion, ...]:
    """What the full image holds that something points at, and the selection lacks.

    Secrets, and what was left out on purpose, are not suggested.

    :raises SlimtraceError: a file of the full image cannot be read.
    """
    case = make_context(trace, root, selection)
    best: dict[str, Clue] = {}
    for find in CLUE_FINDERS:
        for clue in find(case):
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
        word = f"{folder}/*{suffix}"
        lines.append((rank, Suggestion(word, min(members).why, len(members), size)))
    yield from (line for _, line in sorted(lines, key=lambda pair: (pair[0], pair[1].path)))


def _make_suggestion(root: Root, clue: Clue) -> Suggestion:
    sizes = _measure_files(root, [clue.path])
    return Suggestion(clue.path, clue.why, len(sizes), sum(sizes.values()))


def _measure_files(root: Root, paths: Iterable[str]) -> Mapping[str, int]:
    """The regular files at and below the paths, with their sizes."""
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
