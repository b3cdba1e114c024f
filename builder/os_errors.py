"""Failures of the system, told as what then cannot be done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


@contextmanager
def convert_os_errors(to: str, hint: str | None = None) -> Iterator[None]:
    """Turn a failure of the system into the message ``cannot TO: CAUSE``.

    :raises SlimtraceError: in an OSError's place.
    """
    try:
        yield
    except OSError as error:
        raise SlimtraceError(f"cannot {to}: {error.strerror or error}", hint) from error


def convert_read_errors(path: str) -> AbstractContextManager[None]:
    """As :func:`convert_os_errors`, to read ``path``."""
    return convert_os_errors(f"read {path}")


def convert_write_errors(path: str) -> AbstractContextManager[None]:
    """As :func:`convert_os_errors`, to write ``path``."""
    return convert_os_errors(f"write {path}")
