"""Explains why a path is in the image: the chain of causes, down to a process or an option."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.model import KeptPath

if TYPE_CHECKING:
    from slimtrace.builder.model import Cause, Selection


class ChainLink(NamedTuple):
    """A path of a chain, and why it was kept."""

    path: str
    cause: Cause


def explain(selection: Selection, path: str) -> tuple[ChainLink, ...]:
    """Find the shortest chain of causes of a path; empty for a path that was never kept.

    Each cause but the last names the next path. The last cause is a process, an option or another
    part of the build. A chain may contain paths that were dropped later.

    :param path: an own path.
    """
    causes = {item.path: item.causes for item in selection.dropped}
    causes |= {each: entry.causes for each, entry in selection.entries.items()}
    chains: dict[str, tuple[ChainLink, ...]] = {path: ()}
    queue = [path]
    for current in queue:
        for cause in causes.get(current, ()):
            chain = (*chains[current], ChainLink(current, cause))
            if not isinstance(cause.because, KeptPath):
                return chain
            if cause.because.path not in chains:
                chains[cause.because.path] = chain
                queue.append(cause.because.path)
    return ()
