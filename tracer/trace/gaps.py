"""The kinds of gap: what the tracer knows it may not have seen (docs/reference/gaps.md)."""

from __future__ import annotations

LOSES_FILES: dict[str, bool] = {
    "interrupted": True,
    "attached": True,
    "foreign-root": True,
    "unknown-call": True,
    "own-listener": True,
    "own-tracer": True,
    "by-handle": True,
    "not-put-aside": True,
    "setuid": True,
    "unreadable": True,
    "not-decoded": True,
    "file-server": True,
    "unknown-directory": True,
    "io-uring-refused": False,
}
"""Kinds of gap: whether files that the app touched may be missing from the trace."""


def loses_files(kind: str) -> bool:
    """Whether a gap of this kind makes the run incomplete. Unknown kinds do."""
    return LOSES_FILES.get(kind, True)
