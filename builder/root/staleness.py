"""Whether the full image still is what the run saw."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from slimtrace.tracer.trace.trace import Use

if TYPE_CHECKING:
    from slimtrace.builder.root.root import ResolvedPath, Root
    from slimtrace.tracer.trace.trace import Fingerprint, TracedPath


def follows_symlink(traced: TracedPath) -> bool:
    """Whether the app went through the path where it is a symlink, or looked at the link alone."""
    if traced.fingerprint is not None:
        return not stat.S_ISLNK(traced.fingerprint.mode)
    return not traced.uses <= {Use.READLINK}


def find_difference(root: Root, traced: TracedPath, found: ResolvedPath) -> str | None:
    """How the file differs from the run's, in words; None where it does not, or cannot be told.

    Only the type of a directory counts (its time changes with every file in it), and of
    whatever else holds no bytes.
    """
    if root.is_pristine or root.is_saved(found.path):
        return None
    then = traced.fingerprint
    now = root.fingerprint(found.path) if found.exists else None
    if now is None:
        # A lookup of no fingerprint may have been of a link that led nowhere even then.
        return None if then is None and _is_link(root, traced.path) else "it is gone"
    if then is None:
        return None
    if stat.S_IFMT(then.mode) != stat.S_IFMT(now.mode):
        return "it is of another type"
    holds = stat.S_ISREG(now.mode) or stat.S_ISLNK(now.mode)
    return _compare(then, now) if holds else None


def _compare(then: Fingerprint, now: Fingerprint) -> str | None:
    if (then.size, then.mtime_ns) != (now.size, now.mtime_ns):
        return "its content changed"
    if then.mode != now.mode:
        return "its mode changed"
    return None if (then.uid, then.gid) == (now.uid, now.gid) else "its owner changed"


def _is_link(root: Root, path: str) -> bool:
    return root.resolve(path, follow=False).exists
