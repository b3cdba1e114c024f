"""Whether process 1 of a PID namespace gets a signal.

The kernel sends it none that it neither handles nor blocks (pid_namespaces(7); kernel/signal.c,
sig_task_ignored).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal

_MASKS = ("SigCgt", "SigBlk")
_RT_SIGTIMEDWAIT = {"x86_64": 128, "aarch64": 137}


def gets(pid: int, number: signal.Signals) -> bool:
    """Whether it handles, blocks, or just now waits for, the signal."""
    try:
        with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
            told = dict(line.split(":", 1) for line in file if ":" in line)
        if any(int(told[name], 16) >> (number - 1) & 1 for name in _MASKS):
            return True
        # While it waits for signals, those are not shown as blocked.
        with open(f"/proc/{pid}/syscall", encoding="ascii") as file:
            return file.read().split()[0] == str(_RT_SIGTIMEDWAIT.get(os.uname().machine))
    except (OSError, LookupError, ValueError):
        return False
