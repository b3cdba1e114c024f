"""Descriptors of processes, by which the kernel says whose child one is and how it ended.

Neither needs ptrace, nor that the process is a child of ours (pidfd_open(2), PIDFD_GET_INFO).
"""

from __future__ import annotations

import os
import resource
import select
from typing import TYPE_CHECKING

from slimtrace.tracer.engines.ptrace.stops import decode_exit_status
from slimtrace.tracer.kernel import process

if TYPE_CHECKING:
    from collections.abc import Iterator

EXIT_STATUS_SINCE = (6, 15)
"""Linux: since then a pidfd says how its process ended, also when that was waited for."""

_PIDFD_THREAD = os.O_EXCL  # Linux 6.9
_FEW = 64


class Pidfds:
    """One for each process whose end is still to be told; the last one opened besides."""

    def __init__(self) -> None:
        self._kept: dict[int, int] = {}  # by process
        self._last, self._pidfd = 0, -1
        self._most = _FEW

    def relatives(self, tid: int) -> tuple[int, int] | None:
        """The process of a thread and that one's parent.

        None where the kernel does not say, before Linux 6.13.
        """
        pidfd = self._open(tid)
        if pidfd >= 0:
            return process.read_tgid_and_ppid(pidfd)
        try:
            pidfd = os.pidfd_open(tid, _PIDFD_THREAD)
        except OSError:
            return None
        try:
            return process.read_tgid_and_ppid(pidfd)
        finally:
            os.close(pidfd)

    def keep(self, pid: int) -> bool:
        """Keep one of a process that waits for us; False where there are too many already."""
        if pid in self._kept:
            return True
        if self._open(pid) < 0:
            return False
        if len(self._kept) >= self._most:
            return False
        self._kept[pid] = self._pidfd
        self._last, self._pidfd = 0, -1
        return True

    def drop(self, pid: int) -> None:
        """Its end was told."""
        pidfd = self._kept.pop(pid, None)
        if pidfd is not None:
            os.close(pidfd)

    @property
    def is_full(self) -> bool:
        """Whether it is time to ask who has ended."""
        return len(self._kept) >= self._most

    def poll_ended(self) -> Iterator[tuple[int, int | None]]:
        """The processes that have ended, with their exit status where the kernel says it."""
        waiting = select.poll()
        pids = {pidfd: pid for pid, pidfd in self._kept.items()}
        for pidfd in pids:
            waiting.register(pidfd, select.POLLIN)
        for pidfd, _ in waiting.poll(0):
            status = process.read_wait_status(pidfd)
            yield pids[pidfd], None if status is None else decode_exit_status(status).status
            self.drop(pids[pidfd])
        # Beyond this, the ends of those that are killed are not told.
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
        self._most = max(self._most, min(2 * len(self._kept), limit))

    def close(self) -> None:
        for pid in [*self._kept]:
            self.drop(pid)
        self._close_last()

    def _open(self, pid: int) -> int:
        """A pidfd of a process that waits for us; -1 for a thread, or one that was killed."""
        if self._last != pid:
            self._close_last()
            try:
                self._last, self._pidfd = pid, os.pidfd_open(pid)
            except OSError:
                return -1
        return self._pidfd

    def _close_last(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
        self._last, self._pidfd = 0, -1
