"""What slimtrace itself says to people: on stderr, so that stdout stays the app's or the data's."""

from __future__ import annotations

import sys
from dataclasses import dataclass


@dataclass(slots=True)
class _Verbosity:
    quiet: bool = False
    verbose: bool = False


verbosity = _Verbosity()


def say(text: str) -> None:
    """A line of information; ``--quiet`` silences it."""
    if not verbosity.quiet:
        print(f"slimtrace: {text}", file=sys.stderr, flush=True)


def detail(text: str) -> None:
    """A line that only ``--verbose`` shows."""
    if verbosity.verbose:
        print(f"slimtrace: {text}", file=sys.stderr, flush=True)


def warn(text: str) -> None:
    """Something the user should know; shown always."""
    print(f"slimtrace: warning: {text}", file=sys.stderr, flush=True)


def fail(message: str, hint: str | None = None) -> None:
    """Why the command ends here, and the next step where there is one."""
    print(f"slimtrace: {message}", file=sys.stderr)
    if hint is not None:
        print(f"slimtrace: {hint}", file=sys.stderr, flush=True)
