"""Commands that drive an app from outside, each by the shell in a process group of its own."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import DriverError
from slimtrace.tracer.result import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slimtrace.tracer.engines.app import App

_POLL_SECONDS = 0.02
_GRACE_SECONDS = 10.0
"""Seconds for a command whose app has ended."""
_GRACE_INTERRUPTED = 1.0


@dataclass(frozen=True, slots=True)
class CommandLimits:
    """When a command is ended.

    :ivar timeout: the seconds that it may run.
    :ivar deadline: when the app is to be stopped at the latest, by time.monotonic().
    """

    timeout: float
    deadline: float = float("inf")

    def seconds_left(self, most: float) -> float:
        """The seconds left for something that begins now; some at least."""
        return max(_POLL_SECONDS, min(most, self.timeout, self.deadline - time.monotonic()))

    @property
    def why_after_timeout(self) -> str:
        return f"still ran after {self.timeout:g} s (--exec-timeout)"

    @property
    def why_after_deadline(self) -> str:
        return "still ran when --stop-after had passed"


@dataclass(slots=True)
class HostCommands:
    """All commands of one run. What they leave in the background lives until it is ended.

    :ivar mask: the signals that they are to have blocked.
    """

    app: App
    mask: Iterable[int]
    _groups: list[int] = field(default_factory=list)

    def run(self, command: str, env: Mapping[str, str], limits: CommandLimits) -> ExitStatus:
        """Run one to its end; its output goes to stderr, stdout being the app's.

        :raises DriverError: it had to be ended: it took too long, outlived the app, or we were
            interrupted.
        """
        pid = os.posix_spawn(
            "/bin/sh",
            ["sh", "-c", command],
            env,
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, 2, 1),
            ],
            setsigmask=self.mask,
            setsigdef=[signal.SIGPIPE],
            setpgroup=0,
        )
        self._groups.append(pid)
        began, ended = time.monotonic(), float("inf")
        while (found := _read_exit_status(pid)) is None:
            now = time.monotonic()
            why = None
            if self.app.interrupted is not None:
                self._interrupt(pid)
                why = "was interrupted"
            elif now > ended + _GRACE_SECONDS:
                why = "still ran when the app ended"
            elif now > limits.deadline:
                why = limits.why_after_deadline
            elif now > began + limits.timeout:
                why = limits.why_after_timeout
            if why is not None:
                _kill_group(pid)
                raise DriverError(f"cannot drive the app: {command!r} {why}")
            if self.app.ended.wait(_POLL_SECONDS):
                ended = min(ended, now)
                time.sleep(_POLL_SECONDS)
        return found

    def _interrupt(self, pid: int) -> None:
        """As who typed Ctrl-C expects: a group in the background does not hear of it."""
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + _GRACE_INTERRUPTED
        while _read_exit_status(pid) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def end(self) -> None:
        """End what is left of all commands."""
        while self._groups:
            pid = self._groups.pop()
            _kill_group(pid)
            os.waitpid(pid, 0)


def _read_exit_status(pid: int) -> ExitStatus | None:
    """How a child ended, which is left as it is: its group keeps its number so (waitid(2))."""
    found = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if found is None:
        return None
    if found.si_code == os.CLD_EXITED:
        return ExitStatus(found.si_status, None)
    return ExitStatus(128 + found.si_status, found.si_status)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
