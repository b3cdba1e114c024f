"""Runs commands on the host that drive an app: each with the shell, in its own process group."""

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
    from collections.abc import Callable, Iterable, Mapping

    from slimtrace.tracer.drive.command_folder import CommandFolder
    from slimtrace.tracer.drive.http import Address
    from slimtrace.tracer.engines.app import App

_POLL_SECONDS = 0.02
_GRACE_SECONDS = 10.0
"""How long a command may run after the app has ended."""
_INTERRUPT_GRACE_SECONDS = 1.0
_VARIABLES = ("SLIMTRACE_URL", "SLIMTRACE_HOST", "SLIMTRACE_PORT", "SLIMTRACE_SOCKET")


@dataclass(frozen=True, slots=True)
class CommandLimits:
    """The time limits of a command.

    :ivar timeout: how many seconds it may run.
    :ivar deadline: the latest time to stop the app (time.monotonic()).
    """

    timeout: float
    deadline: float = float("inf")

    def seconds_left(self, most: float) -> float:
        """Return the seconds left for an action that begins now; more than 0."""
        return max(_POLL_SECONDS, min(most, self.timeout, self.deadline - time.monotonic()))

    @property
    def why_after_timeout(self) -> str:
        return f"still ran after {self.timeout:g} s (--exec-timeout)"

    @property
    def why_after_deadline(self) -> str:
        return "still ran when --stop-after had passed"


@dataclass(slots=True)
class HostCommands:
    """All commands of one run. Their background processes run until :meth:`end`.

    :ivar mask: the signals to block in commands.
    :ivar folder: where the commands of a repeated run find their files; None for where slimtrace
        runs. The thread that runs the first command enters it.
    :ivar output: the descriptor for their output; None for stderr, because stdout is for the app.
    """

    app: App
    mask: Iterable[int]
    folder: CommandFolder | None = None
    output: int | None = None
    _has_entered: bool = False
    _groups: list[int] = field(default_factory=list)

    def run(self, command: str, env: Mapping[str, str], limits: CommandLimits) -> ExitStatus:
        """Run a command to its end.

        :raises DriverError: it was killed: it took too long, outlived the app, or the user
            interrupted slimtrace.
        """
        pid = _start(command, self._prepare(env), self.mask, output=self.output)
        self._groups.append(pid)
        began, ended = time.monotonic(), float("inf")
        while (status := _read_exit_status(pid)) is None:
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
        return status

    def probe(
        self, command: str, env: Mapping[str, str], should_end: Callable[[], bool]
    ) -> ExitStatus | None:
        """Run a command of ``--ready exec:``; see :func:`run_probe`."""
        return run_probe(command, self._prepare(env), self.mask, should_end)

    def _prepare(self, env: Mapping[str, str]) -> Mapping[str, str]:
        """Enter the folder of commands, and return the environment for them."""
        return env if self.folder is None else {**env, "PWD": self._enter(self.folder)}

    def _enter(self, folder: CommandFolder) -> str:
        """:raises DriverError: the folder cannot be entered."""
        if not self._has_entered:
            try:
                folder.enter()
            except OSError as error:
                raise DriverError(
                    f"cannot drive the app: cannot enter {folder.path}: {error.strerror}"
                ) from error
            self._has_entered = True
        return folder.path

    def _interrupt(self, pid: int) -> None:
        """Send SIGTERM after Ctrl-C, which does not reach a background process group."""
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + _INTERRUPT_GRACE_SECONDS
        while _read_exit_status(pid) is None and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)

    def end(self) -> None:
        """Kill what is left of all commands."""
        while self._groups:
            pid = self._groups.pop()
            _kill_group(pid)
            os.waitpid(pid, 0)


def make_environment(address: Address | None) -> dict[str, str]:
    """Return our environment with the app's address; unknown values are not set."""
    env = {name: value for name, value in os.environ.items() if name not in _VARIABLES}
    if address is not None:
        env["SLIMTRACE_URL"] = address.url
        env["SLIMTRACE_HOST"] = address.host
        env["SLIMTRACE_PORT"] = str(address.port)
    return env


def run_probe(
    command: str, env: Mapping[str, str], mask: Iterable[int], should_end: Callable[[], bool]
) -> ExitStatus | None:
    """Run a command that asks whether the app is ready, without its output.

    Nothing that it started is left.

    :param mask: the signals to block in it.
    :param should_end: asked again and again; the command is killed when it returns True.
    :returns: None if it was killed.
    """
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        pid = _start(command, env, mask, output=null)
    finally:
        os.close(null)
    try:
        while (status := _read_exit_status(pid)) is None and not should_end():
            time.sleep(_POLL_SECONDS)
    finally:
        _kill_group(pid)
        os.waitpid(pid, 0)
    return status


def _start(
    command: str, env: Mapping[str, str], mask: Iterable[int], *, output: int | None = None
) -> int:
    """Start a command in its own process group.

    :param output: the descriptor for its output; None for stderr.
    """
    return os.posix_spawn(
        "/bin/sh",
        ["sh", "-c", command],
        env,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            *([] if output is None else [(os.POSIX_SPAWN_DUP2, output, 2)]),
            (os.POSIX_SPAWN_DUP2, 2, 1),
        ],
        setsigmask=mask,
        setsigdef=[signal.SIGPIPE],
        setpgroup=0,
    )


def _read_exit_status(pid: int) -> ExitStatus | None:
    """Return how a child ended, without reaping it, so that its group keeps its ID (waitid(2))."""
    result = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    if result is None:
        return None
    if result.si_code == os.CLD_EXITED:
        return ExitStatus(result.si_status, None)
    return ExitStatus(128 + result.si_status, result.si_status)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
