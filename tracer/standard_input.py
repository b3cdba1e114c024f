"""Finds out whether a run may have read its standard input: a repeated run has none."""

from __future__ import annotations

import array
import fcntl
import os
import select
import stat
import termios
from typing import NamedTuple

from slimtrace.tracer.trace.trace import StdinKind


class StandardInput(NamedTuple):
    """Our standard input before the run, which the app gets.

    :ivar offset: how far a file was read; None if it is no regular file.
    :ivar is_empty: whether it is a pipe or socket that will never have data.
    """

    offset: int | None
    is_empty: bool

    @classmethod
    def before_run(cls) -> StandardInput:
        return cls(_read_offset(), _is_ended() and not _count_waiting())

    def find_kind(self) -> StdinKind | None:
        """Where the run's input came from; None if there was none, or none of it was read.

        A pipe that stays open and silent gave nothing: services of CI start commands with one.
        """
        try:
            mode = os.fstat(0).st_mode
        except OSError:  # it is closed
            return None
        if os.isatty(0):
            return StdinKind.TERMINAL
        if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
            had_data = _count_waiting() or _is_ended()
            return StdinKind.PIPE if had_data and not self.is_empty else None
        return StdinKind.FILE if _read_offset() != self.offset else None


def _read_offset() -> int | None:
    try:
        is_file = stat.S_ISREG(os.fstat(0).st_mode)
        return os.lseek(0, 0, os.SEEK_CUR) if is_file else None
    except OSError:
        return None


def _is_ended() -> bool:
    """Whether nobody writes to it any more."""
    poll = select.poll()
    poll.register(0, select.POLLRDHUP)
    return any(events & (select.POLLHUP | select.POLLRDHUP) for _, events in poll.poll(0))


def _count_waiting() -> int:
    """How many bytes can be read at once (ioctl_tty(2), FIONREAD)."""
    count = array.array("i", [0])
    try:
        fcntl.ioctl(0, termios.FIONREAD, count)
    except OSError:
        return 0
    return count[0]
