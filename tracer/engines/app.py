"""The app as seen from outside: who drives it, signals it or ends it asks here."""

from __future__ import annotations

import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from slimtrace.tracer.engines.launch.sandbox import Spawner
    from slimtrace.tracer.result import ExitStatus


class AppControl(Protocol):
    """What an engine knows of the processes that it traces."""

    def exit_of_app(self) -> ExitStatus | None:
        """How the app's first process ended, or None while it lives."""

    def processes(self) -> Iterable[int]:
        """The processes of the app that live now."""

    def delivered(self, number: int) -> float:
        """When the app last got a signal that slimtrace got too, by time.monotonic(); or -inf."""


class App:
    """One app under a tracer.

    :ivar pid: its first process.
    :ivar inside: what starts other commands beside it, in an image.
    :ivar ended: set when none of its processes is left.
    :ivar interrupted: the signal by which slimtrace was told to end it, by name.
    :ivar tasks: what whoever waits for signals is to do now and then.
    """

    def __init__(self, pid: int, keeper: AppControl, inside: Spawner | None = None) -> None:
        self.pid = pid
        self.inside = inside
        self.ended = threading.Event()
        self.interrupted: str | None = None
        self.tasks: list[Callable[[], None]] = []
        self._keeper = keeper

    @property
    def exit(self) -> ExitStatus | None:
        """How its first process ended, or None while that lives."""
        return self._keeper.exit_of_app()

    def send(self, number: int, *, group_has_it: bool = False) -> None:
        """Send a signal to the first process, or to all that is left when that is gone.

        :param group_has_it: who is in this process group got it already.
        """
        for process in [self.pid] if self.exit is None else self._keeper.processes():
            if not (group_has_it and _is_in_our_group(process)):
                _kill(process, number)

    def send_all(self, number: int) -> None:
        """Send a signal to every process."""
        for process in self._keeper.processes():
            _kill(process, number)

    def kill(self) -> None:
        """End every process now."""
        if self.exit is None:
            _kill(self.pid, signal.SIGKILL)
        self.send_all(signal.SIGKILL)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Its calls are answered meanwhile, to its end; it is killed where that fails."""
        try:
            yield
        except BaseException:
            self.kill()
            raise
        finally:
            self.ended.set()

    def do_now_and_then(self, task: Callable[[], None]) -> None:
        """Have something done now and then while the app runs, by who waits for signals."""
        self.tasks.append(task)

    def got(self, number: int, within: float) -> bool:
        """Whether the app got this signal by itself in the last ``within`` seconds."""
        return time.monotonic() - self._keeper.delivered(number) < within


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
