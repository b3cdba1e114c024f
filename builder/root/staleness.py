"""Finds files of the full image that changed since the run."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from slimtrace.builder.root.root import ResolvedPath, Root
    from slimtrace.tracer.trace.trace import Fingerprint, TracedPath


def follows_symlink(traced: TracedPath) -> bool:
    """Whether the app followed a symlink at the path, or used only the link itself."""
    if traced.fingerprint is not None:
        return not stat.S_ISLNK(traced.fingerprint.mode)
    return not traced.uses <= {Use.READLINK}


def find_difference(root: Root, traced: TracedPath, found: ResolvedPath) -> str | None:
    """How the file differs from the run's, as a clause; None if it does not, or it is unknown.

    Of directories (whose mtime changes with every file in them) and other files without content
    only the type counts.
    """
    if root.is_pristine or root.is_saved(found.path):
        return None
    then = traced.fingerprint
    now = root.fingerprint(found.path) if found.exists else None
    if now is None:
        # A path without a fingerprint may have been a dangling symlink during the run, too.
        return None if then is None and _is_link(root, traced.path) else "it is gone"
    if then is None:
        return None
    if stat.S_IFMT(then.mode) != stat.S_IFMT(now.mode):
        return "it is of another type"
    has_content = stat.S_ISREG(now.mode) or stat.S_ISLNK(now.mode)
    return _compare(then, now) if has_content else None


def _compare(then: Fingerprint, now: Fingerprint) -> str | None:
    if (then.size, then.mtime_ns) != (now.size, now.mtime_ns):
        return "its content changed"
    if then.mode != now.mode:
        return "its mode changed"
    return None if (then.uid, then.gid) == (now.uid, now.gid) else "its owner changed"


def _is_link(root: Root, path: str) -> bool:
    return root.resolve(path, follow=False).exists
