"""The errors that users see: ``cannot VERB OBJECT: cause`` and the next step."""

import os
from typing import Literal

Refused = Literal["ptrace", "attaching", "process_vm_readv", "seccomp"]
"""Kernel features that tracing needs and that a container or the kernel may refuse."""


class SlimtraceError(Exception):
    """A failure with one line for the user and a documented exit status.

    :param message: ``cannot VERB OBJECT: cause``, without a full stop.
    :param hint: the next step, or None where there is none.
    :param lines: text of others that explains it: the app's last lines, a trace's commands.
    """

    exit_status = 125

    def __init__(self, message: str, hint: str | None = None, lines: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.lines = lines


class UsageError(SlimtraceError):
    """The command line is not valid."""

    exit_status = 2


class CannotExecuteError(SlimtraceError):
    """The command exists and cannot be executed (126, as shells and container engines say)."""

    exit_status = 126


class CommandNotFoundError(SlimtraceError):
    """There is no such command (127)."""

    exit_status = 127


class CannotTraceError(SlimtraceError):
    """The kernel or the container refuses a feature that tracing needs.

    :ivar what: ``ptrace``, ``seccomp`` or ``process_vm_readv``.
    :ivar number: the errno of the refused call.
    """

    def __init__(self, what: Refused, number: int) -> None:
        super().__init__(f"cannot trace: {what} is refused: {os.strerror(number)}")
        self.what = what
        self.number = number


class NoMountsError(SlimtraceError):
    """What was asked for needs mounts or namespaces, and this container allows none."""


class TraceFileError(SlimtraceError):
    """A trace that cannot be read or written."""


class StoppedError(SlimtraceError):
    """A signal ended the command. The exit status is ``128 + number``, as in shells."""

    def __init__(self, message: str, number: int, hint: str | None = None) -> None:
        super().__init__(message, hint)
        self.exit_status = 128 + number


class DriverError(SlimtraceError):
    """The app did not become ready, or a driver failed."""

    exit_status = 1
