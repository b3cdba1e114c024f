"""Why a path is in the image: the chain of causes, down to what a run touched or a user named."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.model import KeptPath

if TYPE_CHECKING:
    from slimtrace.builder.model import Cause, Selection


class ChainLink(NamedTuple):
    """One path of a chain, and why it was kept."""

    path: str
    cause: Cause


def explain(selection: Selection, path: str) -> tuple[ChainLink, ...]:
    """The shortest chain of causes from an own path; empty for a path that was never kept.

    Each cause but the last names the next path. The last one is a process, an option or another
    part of the build. A chain may pass through paths that were dropped later.
    """
    causes = {item.path: item.causes for item in selection.dropped}
    causes |= {each: entry.causes for each, entry in selection.entries.items()}
    chains: dict[str, tuple[ChainLink, ...]] = {path: ()}
    queue = [path]
    for here in queue:
        for cause in causes.get(here, ()):
            chain = (*chains[here], ChainLink(here, cause))
            if not isinstance(cause.because, KeptPath):
                return chain
            if cause.because.path not in chains:
                chains[cause.because.path] = chain
                queue.append(cause.because.path)
    return ()
