"""Turns clues into suggestions: files that exist and are not kept, the likeliest first."""

from __future__ import annotations

import os
import re
import shlex
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from slimtrace.builder.closure.rules.app.leavings import is_leaving_file
from slimtrace.builder.model import Kind, Selection
from slimtrace.builder.policy.secrets import find_secrets
from slimtrace.builder.root.excluded_paths import exclusion_reason
from slimtrace.builder.suggest.clues import CLUE_FINDERS, WEAKEST, Clue, make_context
from slimtrace.builder.suggest.folder_cover import FolderCover
from slimtrace.tracer.text import escape, replace_surrogates

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from slimtrace.builder.root.root import Root
    from slimtrace.builder.suggest.clues import ClueContext
    from slimtrace.tracer.trace.trace import Trace

_MIN_GROUP_FILES = 4
"""With so many of one folder, one line stands for all."""
_MAX_SHALLOW_DEPTH = 2
"""The name of a directory so near the root, such as ``/usr/share``, is no clue."""
_UNREAD = re.compile(
    r"/usr/(?:share/)?(?:doc|man|info|include|licenses|lintian|bug|doc-base)(?:/.*)?"
)
"""Folders of the system that people and compilers read, and no program that runs."""


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

    @property
    def option(self) -> str:
        """The option of ``build`` that adds the files, for a shell."""
        return f"--include {shlex.quote(escape(self.path))}"

    @property
    def amount(self) -> str:
        """How much it adds, for people."""
        files = f"{self.files:,} files, " if self.files != 1 else ""
        return f"{files}{decimal(self.size)}"

    def document(self) -> dict[str, Any]:
        """Make the object that commands print with ``--json``."""
        path, why = replace_surrogates(self.path), replace_surrogates(self.why)
        return {"path": path, "why": why, "files": self.files, "bytes": self.size}


def suggest(
    trace: Trace,
    root: Root,
    selection: Selection,
    finders: Iterable[Callable[[ClueContext], Iterator[Clue]]] = CLUE_FINDERS,
    weakest: int = WEAKEST,
) -> tuple[Suggestion, ...]:
    """Suggest files of the full image that have a clue and are not in the selection.

    Secrets, files that were left out on purpose, files that no program reads, and the system's own
    settings are not suggested.

    :param weakest: the last rank of clues that count.
    :raises SlimtraceError: a file of the full image cannot be read.
    """
    context = make_context(trace, root, selection)
    best: dict[str, Clue] = {}
    for find in finders:
        for clue in find(context):
            if clue.rank > weakest:
                continue
            path = root.resolve(clue.path).path
            if path not in best or best[path].rank > clue.rank:
                best[path] = clue._replace(path=path)
    left_out = {item.path for item in selection.dropped}
    fresh = {
        path: clue
        for path, clue in best.items()
        if path not in left_out and _is_useful(context, path) and _is_new(root, selection, path)
    }
    entries = {path: root.entry(path, ()) for path in fresh if root.kind(path) is Kind.FILE}
    secrets = {*find_secrets(root, Selection(entries))}
    found = {path: clue for path, clue in fresh.items() if path not in secrets}
    return tuple(_group_clues(context, found, secrets | left_out))


def _is_useful(context: ClueContext, path: str) -> bool:
    """Whether a program may read a file, and it is neither state nor the distribution's setting."""
    if exclusion_reason(path) is not None or _UNREAD.fullmatch(path) or is_leaving_file(path):
        return False
    return not (path.startswith("/etc/") and context.is_of_system(path))


def _is_new(root: Root, selection: Selection, path: str) -> bool:
    kind = root.kind(path)
    if kind is Kind.DIRECTORY:
        deep = path.count("/") > _MAX_SHALLOW_DEPTH
        return deep and not any(other.startswith(f"{path}/") for other in selection.entries)
    return kind is Kind.FILE and path not in selection.entries


def _group_clues(
    context: ClueContext, clues: Mapping[str, Clue], unwanted: Collection[str]
) -> Iterator[Suggestion]:
    """Sum up: one line for each folder of which all that is lacking has a clue.

    Elsewhere one for many files with the same suffix in a folder, and one for each other file.
    """
    root = context.root
    folders = FolderCover(context.root, context.selection.entries, {*clues, *unwanted})
    groups: dict[tuple[int, str], list[Clue]] = defaultdict(list)
    for path, clue in clues.items():
        top = folders.find_top(path)
        groups[(3, top) if top else (clue.rank, _make_glob(path))].append(clue)
    lines: list[tuple[int, Suggestion]] = []
    for (_, glob), members in groups.items():
        first = min(members, key=lambda clue: (clue.rank, clue.path))
        if len(members) < _MIN_GROUP_FILES or glob.endswith("/*"):
            lines += [(clue.rank, _make_suggestion(root, clue)) for clue in members]
            continue
        sizes = _measure_files(root, [clue.path for clue in members])
        lines.append((first.rank, Suggestion(glob, first.why, len(sizes), sum(sizes.values()))))
    lines.sort(key=lambda pair: (pair[0], pair[1].path))
    yield from (line for _, line in lines if line.files)


def _make_glob(path: str) -> str:
    folder, name = os.path.split(path)
    return f"{folder}/*{os.path.splitext(name)[1]}"


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
