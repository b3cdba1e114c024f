"""The app as the rest of slimtrace sees it: its processes, its signals and its end."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from slimtrace.tracer.process import procfs
from slimtrace.tracer.process.dispositions import has_default_action
from slimtrace.tracer.result import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from slimtrace.tracer.engines.launch.launcher import Launcher

_ENDING = frozenset({signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM})
"""Signals that end a process which does not handle them, unless it is process 1."""


class AppControl(Protocol):
    """What an engine knows of the processes that it traces."""

    def read_exit_status(self) -> ExitStatus | None:
        """How the app's first process ended, or None while it lives."""

    def list_processes(self) -> Iterable[int]:
        """The processes of the app that live now."""

    def last_delivery(self, number: int) -> float:
        """When the app last got this signal, by time.monotonic(); -inf if never.

        Only signals that the whole process group gets, slimtrace included, must be known.
        """


class App:
    """One app under a tracer.

    :param launch: how it was started.
    :ivar pid: its first process.
    :ivar spawner: starts further commands beside it, in the sandbox of an image.
    :ivar ended: set when none of its processes is left.
    :ivar interrupted: the name of the signal by which the user asked slimtrace to end the app.
    :ivar periodic_tasks: called every fraction of a second by the thread that waits for signals.
    """

    def __init__(self, launch: Launcher, control: AppControl) -> None:
        self.pid = launch.app_pid
        self.spawner = launch.spawner
        self._is_process_one = launch.app_is_process_one
        self._ended_by: int | None = None
        self.ended = threading.Event()
        self.interrupted: str | None = None
        self.periodic_tasks: list[Callable[[], None]] = []
        self._control = control

    @property
    def exit_status(self) -> ExitStatus | None:
        """How its first process ended, or None while it lives."""
        status = self._control.read_exit_status()
        if status is not None and self._ended_by is not None and status.signal == signal.SIGKILL:
            return ExitStatus(128 + self._ended_by, self._ended_by)
        return status

    @property
    def is_running(self) -> bool:
        """Whether its first process lives; one that nobody has waited for yet does not.

        The first thread of a living process may have ended.
        """
        if self.exit_status is not None:
            return False
        return not procfs.has_ended(self.pid) or len(procfs.list_threads(self.pid)) > 1

    def send(self, number: int, *, skip_our_group: bool = False) -> None:
        """Send a signal to the first process, or to all others when that one has ended.

        The kernel discards a signal that process 1 of a container does not handle
        (pid_namespaces(7)). One that asks the app to end has its default effect nevertheless.

        :param skip_our_group: not to processes in slimtrace's process group: they have got it.
        """
        is_discarded = self._is_process_one and number in _ENDING
        if is_discarded and self.exit_status is None and has_default_action(self.pid, number):
            self._ended_by = number
            _kill(self.pid, signal.SIGKILL)
            return
        for process in [self.pid] if self.exit_status is None else self._control.list_processes():
            if not (skip_our_group and _is_in_our_group(process)):
                _kill(process, number)

    def send_all(self, number: int) -> None:
        """Send a signal to every process."""
        for process in self._control.list_processes():
            _kill(process, number)

    def kill(self) -> None:
        """End every process now."""
        if self.exit_status is None:
            _kill(self.pid, signal.SIGKILL)
        self.send_all(signal.SIGKILL)

    @contextmanager
    def kill_on_error(self) -> Iterator[None]:
        """Kill the app when the tracing in this context fails; set ``ended`` in any case."""
        try:
            yield
        except BaseException:
            self.kill()
            raise
        finally:
            self.ended.set()

    def add_periodic_task(self, task: Callable[[], None]) -> None:
        """Have ``task`` called every fraction of a second while the app runs."""
        self.periodic_tasks.append(task)

    def has_received(self, number: int, within: float) -> bool:
        """Whether the app got this signal from elsewhere in the last ``within`` seconds."""
        return time.monotonic() - self._control.last_delivery(number) < within


def _is_in_our_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) == os.getpgrp()
    except ProcessLookupError:
        return True


def _kill(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return
