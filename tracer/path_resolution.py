"""Walks a path inside a root as path_resolution(7) describes it, without asking the kernel.

The one walk for roots that the kernel cannot resolve for us: a full image as its layers describe it
(``builder.root``), the layers in memory while they are unpacked (``builder.images.unpack``), and a
mount point below a root that is mounted over (``tracer.sandbox.mountpoints``).

A tree that another process can change during the walk must be resolved by the kernel, which checks
each step against the directory that it holds: openat2(2) with RESOLVE_IN_ROOT
(``tracer.kernel.openat2``). The tracer asks it for every path of a running app.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

MAXSYMLINKS = 40
"""Symlinks that one walk follows; the kernel answers ELOOP to more (path_resolution(7))."""

Node = TypeVar("Node")


class LinkTarget(NamedTuple):
    """A symlink to follow.

    :ivar text: what readlink(2) returns.
    """

    text: str


class Walk(NamedTuple, Generic[Node]):
    """How far a walk came.

    :ivar node: the last node that it reached.
    :ivar links: the symlinks that it followed: for each the directory and the name.
    :ivar rest: the names that were not walked, beginning with the one that has no node or is one
        symlink too many; empty if the path leads to ``node``.
    """

    node: Node
    links: tuple[tuple[Node, str], ...]
    rest: tuple[str, ...]


def walk(
    path: str,
    root: Node,
    parent: Callable[[Node], Node],
    look: Callable[[Node, str, bool], Node | LinkTarget | None],
    start: Node | None = None,
) -> Walk[Node]:
    """Walk ``path`` from ``start`` (from ``root`` if it is absolute) and never leave ``root``.

    :param parent: the node that ``..`` leads to; it must return ``root`` for ``root``.
    :param look: finds a name in a node (arguments: the node, the name, whether it is the last one).
        It returns the node to go on from, a symlink to follow, or None to end the walk.
    """
    node = root if start is None or path.startswith("/") else start
    links: list[tuple[Node, str]] = []
    pending = path.split("/")[::-1]
    while pending:
        name = pending.pop()
        if name in {"", "."}:
            continue
        if name == "..":
            node = parent(node)
            continue
        child = look(node, name, not pending)
        if isinstance(child, LinkTarget) and len(links) < MAXSYMLINKS:
            links.append((node, name))
            if child.text.startswith("/"):
                node = root
            pending += child.text.split("/")[::-1]
        elif child is None or isinstance(child, LinkTarget):
            rest = (name, *(left for left in reversed(pending) if left))
            return Walk(node, tuple(links), rest)
        else:
            node = child
    return Walk(node, tuple(links), ())


def parent_path(path: str) -> str:
    """``parent`` of :func:`walk` for nodes that are paths: "" for the root, else ``/a/b``."""
    return path.rpartition("/")[0]
