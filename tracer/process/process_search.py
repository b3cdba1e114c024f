"""Finds the process to attach to: by its number, or by the name of its program."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import UsageError
from slimtrace.tracer.process import procfs

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_LISTED_PROCESSES = 10
_GIVE_A_PID = "give the PID of the app's process; pgrep -a NAME lists them"


def find_process(text: str) -> int:
    """Find a process by PID or by name.

    Of several with one name, the ancestor of all others is meant, as the master of a server's
    workers: its descendants are traced with it.

    :raises UsageError: there is no such name, or it is not unique; or slimtrace is a descendant.
    """
    if text.isascii() and text.isdecimal():
        process = int(text)
        if process < 1:
            raise UsageError(f"cannot attach to {text}: it is not a PID", _GIVE_A_PID)
    else:
        process = _find_by_name(text)
    if process in _list_ancestors(os.getpid()):
        raise UsageError(
            f"cannot attach to {text}: slimtrace itself and its shell are descendants of it",
            _GIVE_A_PID,
        )
    return process


def _find_by_name(name: str) -> int:
    """:raises UsageError: no process has this name, or several have it."""
    own = {os.getpid(), *_list_ancestors(os.getpid())}
    found = {process for process in _list_processes() if _has_name(process, name)} - own
    tops = sorted(process for process in found if found.isdisjoint(_list_ancestors(process)))
    if not tops:
        raise UsageError(f"cannot attach to {name}: no process has this name", _GIVE_A_PID)
    if len(tops) > 1:
        pids = ", ".join(map(str, tops[:_MAX_LISTED_PROCESSES]))
        raise UsageError(
            f"cannot attach to {name}: several processes have this name: {pids}",
            "give the PID of one of them",
        )
    return tops[0]


def _list_processes() -> Iterator[int]:
    return (int(name) for name in os.listdir("/proc") if name.isdecimal())


def _has_name(process: int, name: str) -> bool:
    """Whether its program, its first argument or its title has this name (argv: "nginx: …")."""
    argv = procfs.read_command_line(process)
    title = argv[0].partition(" ")[0].rstrip(":") if argv else ""
    names = (procfs.read_program_name(process), title)
    return bool(argv) and name in map(os.path.basename, names)


def _list_ancestors(process: int) -> list[int]:
    ancestors: list[int] = []
    parent = procfs.read_ppid(process)
    while parent and parent not in ancestors:
        ancestors.append(parent)
        parent = procfs.read_ppid(parent)
    return ancestors
