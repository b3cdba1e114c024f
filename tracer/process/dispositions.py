"""What a process does about a signal (proc(5), signal(7))."""

from __future__ import annotations

import os

_HANDLED = ("SigCgt", "SigBlk")
_RT_SIGTIMEDWAIT = {"x86_64": 128, "aarch64": 137}


def handles_signal(pid: int, number: int) -> bool:
    """Whether the process handles, blocks, or waits for the signal."""
    return _is_in(pid, number, _HANDLED) or _waits_for_signals(pid)


def has_default_action(pid: int, number: int) -> bool:
    """Whether the process neither handles nor ignores the signal; False when it is gone."""
    if not os.path.exists(f"/proc/{pid}"):
        return False
    return not _is_in(pid, number, (*_HANDLED, "SigIgn")) and not _waits_for_signals(pid)


def _is_in(pid: int, number: int, sets: tuple[str, ...]) -> bool:
    """Whether one of these sets of signals in /proc/PID/status has the signal."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            fields = dict(line.split(":", 1) for line in file if ":" in line)
        return any(int(fields[name], 16) >> (number - 1) & 1 for name in sets)
    except (OSError, LookupError, ValueError):
        return False


def _waits_for_signals(pid: int) -> bool:
    """While a process waits for signals, the kernel does not show them as blocked."""
    try:
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            return file.read().split()[0] == str(_RT_SIGTIMEDWAIT.get(os.uname().machine))
    except (OSError, LookupError, ValueError):
        return False
