"""Which came first, the birth of a process or a moment: told by the number that it was given.

Process numbers are given in ascending order, and from the beginning again after the highest
(pid_namespaces(7), proc_sys_kernel(5), pid_max). The kernel says which was given last for two
microseconds, where a list of a process's children takes fifty.
"""

from __future__ import annotations

import os

_ENOUGH = 64


_HIGHEST = 1 << 22  # PID_MAX_LIMIT (linux/threads.h)


class BirthOrder:
    """Of processes in the tracer's own PID namespace."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
            with open("/proc/sys/kernel/pid_max", "rb") as file:
                self._numbers = int(file.read())
        except (OSError, ValueError):
            self._file, self._numbers = -1, _HIGHEST

    def now(self) -> int | None:
        """The moment: the number given last (proc_loadavg(5)); None where nobody says."""
        try:
            return int(os.pread(self._file, _ENOUGH, 0).split()[-1])
        except (OSError, ValueError, IndexError):
            return None

    def is_surely_after(self, pid: int, moment: int | None) -> bool:
        """Whether ``pid`` was born after ``moment``.

        False is no proof of the contrary: half of all numbers may have been given since.
        """
        if moment is None:
            return False
        return 0 < (pid - moment) % self._numbers < self._numbers // 2

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
