"""Errors as one message of JSON, from process 1 of the sandbox to the tracer."""

from __future__ import annotations

import json

from slimtrace.tracer.errors import CannotExecuteError, CommandNotFoundError, SlimtraceError

_ERRORS = {126: CannotExecuteError, 127: CommandNotFoundError}


def encode_failure(error: SlimtraceError) -> bytes:
    """The message for an error."""
    fields = {"exit_status": error.exit_status, "message": error.message, "hint": error.hint}
    return json.dumps(fields).encode() + b"\n"


def decode_failure(message: bytes) -> SlimtraceError:
    """The error of a message; its exit status chooses the class."""
    fields = json.loads(message)
    kind = _ERRORS.get(fields["exit_status"], SlimtraceError)
    return kind(fields["message"], fields["hint"])
