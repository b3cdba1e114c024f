"""Descriptors of processes, by which the kernel says whose child one is and how it ended.

Neither needs ptrace, nor that the process is a child of ours (pidfd_open(2), PIDFD_GET_INFO).
"""

from __future__ import annotations

import os
import resource
import select
from typing import TYPE_CHECKING

from tracer.engines.stops import exit_of
from tracer.kernel import process

if TYPE_CHECKING:
    from tracer.recorder import Recorder

_PIDFD_THREAD = os.O_EXCL  # Linux 6.9
_FEW = 64


class Pidfds:
    """One for each process image whose end is still to be told; the last one opened besides."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._kept: dict[int, int] = {}  # by image
        self._last: tuple[int, int] = (0, -1)  # a process and its pidfd
        self._most = _FEW

    def relatives(self, tid: int) -> tuple[int, int] | None:
        """The process of a thread and that one's parent.

        None where the kernel does not say, before Linux 6.13.
        """
        pidfd = self._open(tid)
        if pidfd >= 0:
            return process.relatives(pidfd)
        try:
            pidfd = os.pidfd_open(tid, _PIDFD_THREAD)
        except OSError:
            return None
        try:
            return process.relatives(pidfd)
        finally:
            os.close(pidfd)

    def keep(self, image: int, pid: int) -> None:
        """To be asked how it ended, if it does not say so itself; unless there are too many."""
        if len(self._kept) >= self._most:
            self._make_room()
        if len(self._kept) < self._most and self._open(pid) >= 0:
            self._kept[image] = self._last[1]
            self._last = (0, -1)

    def drop(self, image: int) -> None:
        """Its end was told."""
        pidfd = self._kept.pop(image, None)
        if pidfd is not None:
            os.close(pidfd)

    def finish(self) -> None:
        """Ask of all that are left."""
        for image in [*self._kept]:
            self._ask(image)
            self.drop(image)
        self._close_last()

    def _open(self, pid: int) -> int:
        """A pidfd of a process that waits for us; -1 for a thread, or one that was killed."""
        if self._last[0] != pid:
            self._close_last()
            try:
                self._last = pid, os.pidfd_open(pid)
            except OSError:
                return -1
        return self._last[1]

    def _close_last(self) -> None:
        if self._last[1] >= 0:
            os.close(self._last[1])
        self._last = (0, -1)

    def _make_room(self) -> None:
        for image in [*self._kept]:
            if self._ask(image):
                self.drop(image)
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2
        self._most = min(max(_FEW, 2 * len(self._kept)), limit)

    def _ask(self, image: int) -> bool:
        """Whether the process has ended; how is told, where the kernel says it."""
        waiting = select.poll()
        waiting.register(self._kept[image], select.POLLIN)
        if not waiting.poll(0):
            return False
        status = process.status_of_ended(self._kept[image])
        if status is not None:
            self._recorder.exited(image, exit_of(status).status)
        return True
