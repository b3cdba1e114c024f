"""What can go wrong, as users are told it: ``cannot VERB OBJECT: cause`` and the next step."""


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


class TraceFileError(SlimtraceError):
    """A trace that cannot be read or written."""


class DriverError(SlimtraceError):
    """The app never became ready, or a driver command failed: the answer of the run is no."""

    exit_status = 1
