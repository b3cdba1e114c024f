"""Whether a process was born before or after a moment, by its process number.

The kernel assigns process numbers in ascending order, and starts again after the highest
(pid_namespaces(7), proc_sys_kernel(5), pid_max). To read the last number takes two microseconds;
to list the children of a process takes fifty.
"""

from __future__ import annotations

import os

_MAX_LOADAVG_BYTES = 64
_MAX_PID = 1 << 22  # PID_MAX_LIMIT (linux/threads.h)


class BirthOrder:
    """Compares births of processes, by their numbers in the tracer's own PID namespace."""

    def __init__(self) -> None:
        try:
            self._file = os.open("/proc/loadavg", os.O_RDONLY | os.O_CLOEXEC)
            with open("/proc/sys/kernel/pid_max", "rb") as file:
                self._numbers = int(file.read())
        except (OSError, ValueError):
            self._file, self._numbers = -1, _MAX_PID

    def now(self) -> int | None:
        """The current moment, as the last number assigned (proc_loadavg(5)); None if unknown."""
        try:
            return int(os.pread(self._file, _MAX_LOADAVG_BYTES, 0).split()[-1])
        except (OSError, ValueError, IndexError):
            return None

    def is_surely_after(self, pid: int, moment: int | None) -> bool:
        """Whether ``pid`` was born after ``moment``.

        False is no proof of the contrary: half of all numbers may have been assigned since.
        """
        if moment is None:
            return False
        return 0 < (pid - moment) % self._numbers < self._numbers // 2

    def close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
