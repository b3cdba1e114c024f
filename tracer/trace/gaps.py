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


_NEXT_STEPS = {
    "attached": "trace the app from its start, or add runs with run --append",
    "setuid": "trace as root",
    "unreadable": "trace as root, or as the user of that process",
    "foreign-root": "add what the app reads there with --include",
    "unknown-directory": "add what it read there with --include",
    "file-server": "add what the app serves with --include",
    "by-handle": "add the file with --include",
    "own-listener": "check what the app supervises, or trace with --engine ptrace-syscall",
    "own-tracer": "trace with --engine notify, or without the debugger",
    "not-put-aside": "make room on the disk and trace again",
    "not-decoded": "report it, and add what is missing with --include",
    "unknown-call": "report it, and add what is missing with --include",
}


def find_next_step(kind: str) -> str:
    """Return what a user can do about a gap of this kind."""
    return _NEXT_STEPS.get(kind, "trace the app again")
