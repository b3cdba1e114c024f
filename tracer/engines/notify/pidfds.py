"""Pidfds: the kernel reports through them whose child a process is, and how it ended.

This needs no ptrace, and the process need not be a child of ours (pidfd_open(2), PIDFD_GET_INFO).
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
"""Linux version since which a pidfd shows how its process ended, even after a wait for it."""

_PIDFD_THREAD = os.O_EXCL  # Linux 6.9
MIN_PIDFDS = 64


class Pidfds:
    """Keeps a pidfd of each process whose exit status must still be read."""

    def __init__(self) -> None:
        self._pidfds: dict[int, int] = {}  # by process
        self._last, self._pidfd = 0, -1
        self._max_pidfds = MIN_PIDFDS

    def read_tgid_and_ppid(self, tid: int) -> tuple[int, int] | None:
        """The process of a thread, and the parent of that process.

        None where the kernel does not report it, before Linux 6.13.
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
        """Keep the pidfd of a process that waits for us; False where there are too many already."""
        if pid in self._pidfds:
            return True
        if self._open(pid) < 0:
            return False
        if len(self._pidfds) >= self._max_pidfds:
            return False
        self._pidfds[pid] = self._pidfd
        self._last, self._pidfd = 0, -1
        return True

    def drop(self, pid: int) -> None:
        """Close the pidfd of a process whose exit status is known."""
        pidfd = self._pidfds.pop(pid, None)
        if pidfd is not None:
            os.close(pidfd)

    @property
    def is_full(self) -> bool:
        """Whether it is time to call :meth:`poll_ended`."""
        return len(self._pidfds) >= self._max_pidfds

    def poll_ended(self) -> Iterator[tuple[int, int | None]]:
        """The processes that have ended, with their exit status where the kernel reports it."""
        waiting = select.poll()
        pids = {pidfd: pid for pid, pidfd in self._pidfds.items()}
        for pidfd in pids:
            waiting.register(pidfd, select.POLLIN)
        for pidfd, _ in waiting.poll(0):
            status = process.read_wait_status(pidfd)
            yield pids[pidfd], None if status is None else decode_exit_status(status).status
            self.drop(pids[pidfd])
        # Of processes beyond this limit that are killed, the exit status stays unknown.
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
        self._max_pidfds = max(self._max_pidfds, min(2 * len(self._pidfds), limit))

    def close(self) -> None:
        for pid in [*self._pidfds]:
            self.drop(pid)
        self._close_last()

    def _open(self, pid: int) -> int:
        """The pidfd of a process that waits for us; -1 for a thread, or if it was killed."""
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
