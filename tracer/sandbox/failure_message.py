"""Errors as one message of JSON, from process 1 of the sandbox to the tracer."""

from __future__ import annotations

import json

from slimtrace.tracer.errors import (
    CannotExecuteError,
    CommandNotFoundError,
    NoMountsError,
    SlimtraceError,
)

_KINDS = {kind.__name__: kind for kind in (CannotExecuteError, CommandNotFoundError, NoMountsError)}


def encode_failure(error: SlimtraceError) -> bytes:
    """The message for an error."""
    fields = {"kind": type(error).__name__, "message": error.message, "hint": error.hint}
    return json.dumps(fields).encode() + b"\n"


def decode_failure(message: bytes) -> SlimtraceError:
    """The error of a message."""
    fields = json.loads(message)
    kind = _KINDS.get(fields["kind"], SlimtraceError)
    return kind(fields["message"], fields["hint"])
