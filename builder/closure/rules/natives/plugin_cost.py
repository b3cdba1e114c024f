"""What a plugin costs: its own bytes, and those of the libraries that nothing else needs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from slimtrace.builder.closure.need import Need
from slimtrace.builder.closure.rule import LimitMet
from slimtrace.builder.closure.rules.app.bounds import measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.closure.rule import RuleContext
    from slimtrace.builder.model import Reason


@dataclass(frozen=True, slots=True)
class PluginBounds:
    """How much a folder of plugins may add. Only libraries that nothing else needs count.

    :ivar files: the most plugins of a folder.
    :ivar library_bytes: the most of the libraries from elsewhere that one plugin needs; if it needs
        more, it is left out alone.
    :ivar folder_bytes: the most of all plugins of a folder and of what they need.
    """

    files: int
    library_bytes: int
    folder_bytes: int


def bound_plugins(
    context: RuleContext,
    reason: Reason,
    folder: str,
    plugins: Iterable[tuple[str, str]],
    bounds: PluginBounds,
) -> Iterator[Need | LimitMet]:
    """Make the needs of plugins, unless they are too many or too large.

    A plugin that could not be loaded in the full image either is left out. So is one that alone
    brings too much: that PostgreSQL's compiler plugin needs LLVM does not make the others dear.

    :param plugins: their paths and own paths.
    """
    added = _measure_plugins(context, plugins)
    members = {file for _, file in added}
    taken: dict[str, int] = {}
    paths: list[str] = []
    large: dict[str, LimitMet] = {}
    for (path, own), files in added.items():
        if sum(size for file, size in files.items() if file not in members) > bounds.library_bytes:
            limit = LimitMet(reason, path, len(files), sum(files.values()), own, is_file=True)
            large.setdefault(own, limit)
        else:
            taken.update(files)
            paths.append(path)
    yield from large.values()
    size = sum(taken.values())
    if len(paths) > bounds.files or size > bounds.folder_bytes:
        yield LimitMet(reason, folder, len(taken), size, next(iter(taken), ""))
        return
    for path in paths:
        yield Need(path, reason, load=True)


def _measure_plugins(
    context: RuleContext, plugins: Iterable[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, int]]:
    """Measure what each plugin adds; without those that cannot be loaded."""
    found = {(path, own): _list_added_libraries(context, path, own) for path, own in plugins}
    return {key: files for key, files in found.items() if files is not None}


def _list_added_libraries(context: RuleContext, path: str, own: str) -> dict[str, int] | None:
    """List the sizes of what a plugin adds by own path; None if a library that it needs is absent.

    A needed library that a kept program loads from elsewhere is not absent (dlopen(3) takes a
    loaded one with the same name).
    """
    dependencies = context.loader.find_dependencies(path, own)
    if dependencies is None:
        return None
    known = _list_kept_names(context)
    if any(library.name not in known for library in dependencies.missing):
        return None
    files = {own, *dependencies.files} - context.kept
    return {file: measure(context, file) for file in files}


@lru_cache(maxsize=1)
def _list_kept_names(context: RuleContext) -> frozenset[str]:
    return frozenset(path.rpartition("/")[2] for path in context.kept)
