"""Failures of the system, told as what then cannot be done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


@contextmanager
def failing(to: str, hint: str | None = None) -> Iterator[None]:
    """Turn a failure of the system into the message ``cannot TO: CAUSE``.

    :raises SlimtraceError: in an OSError's place.
    """
    try:
        yield
    except OSError as error:
        raise SlimtraceError(f"cannot {to}: {error.strerror or error}", hint) from error


def reading(path: str) -> AbstractContextManager[None]:
    """As :func:`failing`, to read ``path``."""
    return failing(f"read {path}")


def writing(path: str) -> AbstractContextManager[None]:
    """As :func:`failing`, to write ``path``."""
    return failing(f"write {path}")
