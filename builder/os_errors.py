"""Converts OSError into a SlimtraceError that users can read."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


@contextmanager
def convert_os_errors(to: str, hint: str | None = None) -> Iterator[None]:
    """Convert an OSError in the block into the message ``cannot TO: CAUSE``.

    :raises SlimtraceError: instead of the OSError.
    """
    try:
        yield
    except OSError as error:
        raise SlimtraceError(f"cannot {to}: {error.strerror or error}", hint) from error


def convert_read_errors(path: str) -> AbstractContextManager[None]:
    """Convert an OSError into ``cannot read PATH: CAUSE``."""
    return convert_os_errors(f"read {path}")


def convert_write_errors(path: str) -> AbstractContextManager[None]:
    """Convert an OSError into ``cannot write PATH: CAUSE``."""
    return convert_os_errors(f"write {path}")
