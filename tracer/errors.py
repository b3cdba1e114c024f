"""What can go wrong, as users are told it: ``cannot VERB OBJECT: cause`` and the next step."""

import os
from typing import Literal

Refused = Literal["ptrace", "attaching", "process_vm_readv", "seccomp"]
"""What tracing needs and a place may refuse."""


class SlimtraceError(Exception):
    """A failure with one line for the user and the exit status that the contract gives it.

    :param message: ``cannot VERB OBJECT: cause``, without a full stop.
    :param hint: the next step, or None where there is none.
    """

    exit_status = 125

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(SlimtraceError):
    """The command line makes no sense."""

    exit_status = 2


class CannotExecuteError(SlimtraceError):
    """The command exists and cannot be executed (126, as shells and container engines say)."""

    exit_status = 126


class CommandNotFoundError(SlimtraceError):
    """There is no such command (127)."""

    exit_status = 127


class CannotTraceError(SlimtraceError):
    """The kernel, or who set up this place, refuses what tracing needs.

    :ivar what: ``ptrace``, ``seccomp`` or ``process_vm_readv``.
    :ivar number: the errno that the kernel answered with.
    """

    def __init__(self, what: Refused, number: int) -> None:
        super().__init__(f"cannot trace: {what} is refused: {os.strerror(number)}")
        self.what = what
        self.number = number


class TraceFileError(SlimtraceError):
    """A trace that cannot be read or written."""


class StoppedError(SlimtraceError):
    """The user ended it by a signal: ``128 + number`` is the exit status, as shells say."""

    def __init__(self, message: str, number: int, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.exit_status = 128 + number


class DriverError(SlimtraceError):
    """The app never became ready, or a driver command failed: the answer of the run is no."""

    exit_status = 1

    def __init__(self, message: str, hint: str | None = None, lines: tuple[str, ...] = ()) -> None:
        """Say ``lines``, the app's last ones, too."""
        super().__init__(message, hint)
        self.lines = lines
