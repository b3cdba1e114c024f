"""What slimtrace itself says to people: on stderr, so that stdout stays the app's or the data's."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.tracer.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(slots=True)
class _Verbosity:
    quiet: bool = False
    verbose: bool = False


verbosity = _Verbosity()


def _print(text: str) -> None:
    if sys.stderr is not None:  # closed by the caller: print would take stdout instead
        print(f"slimtrace: {text}", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """A line of information; ``--quiet`` silences it."""
    if not verbosity.quiet:
        _print(text)


def detail(text: str) -> None:
    """A line that only ``--verbose`` shows."""
    if verbosity.verbose:
        _print(text)


def warn(text: str) -> None:
    """Something the user should know; shown always."""
    _print(f"warning: {text}")


def quote(lines: Iterable[str]) -> None:
    """What somebody else said, indented, with control characters escaped."""
    for line in lines:
        if sys.stderr is not None:
            print(f"    {escape(line)}", file=sys.stderr, flush=True)


def fail(message: str, hint: str | None = None) -> None:
    """Why the command ends here, and the next step where there is one."""
    _print(message)
    if hint is not None:
        _print(hint)
