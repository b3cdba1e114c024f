"""Prints slimtrace's own messages to stderr: stdout is for the app's output or for data."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.tracer.text import escape

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.tracer.caution import Caution


@dataclass(slots=True)
class _Verbosity:
    quiet: bool = False
    verbose: bool = False


verbosity = _Verbosity()
_said: set[str] = set()


def _print(text: str) -> None:
    if sys.stderr is not None:  # it is None if it was closed; print would then use stdout
        print(f"slimtrace: {text}", file=sys.stderr, flush=True)


def say(text: str) -> None:
    """Print a line of information, unless ``--quiet`` is given."""
    if not verbosity.quiet:
        _print(text)


def say_lines(lines: Iterable[str]) -> None:
    """Print lines to copy, indented and without a prefix, unless ``--quiet`` is given."""
    if not verbosity.quiet:
        quote(lines)


def say_once(text: str) -> None:
    """Print a line of information, unless it was printed before."""
    if text not in _said:
        _said.add(text)
        say(text)


def detail(text: str) -> None:
    """Print a line only with ``--verbose``."""
    if verbosity.verbose:
        _print(text)


def warn(caution: Caution) -> None:
    """Print a warning, always."""
    _print(f"warning: {caution}")


def quote(lines: Iterable[str]) -> None:
    """Print lines of another program, indented, with control characters escaped."""
    for line in lines:
        if sys.stderr is not None:
            print(f"    {escape(line)}", file=sys.stderr, flush=True)


def fail(message: str, hint: str | None = None, lines: Iterable[str] = ()) -> None:
    """Print why the command fails, lines of others that explain it, and the next step if any."""
    _print(message)
    quote(lines)
    if hint is not None:
        _print(hint)
