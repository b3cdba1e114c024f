"""Says what of the traced runs a verification does not repeat, and how to have it repeated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slimtrace.tracer.trace.trace import StdinKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.tracer.trace.trace import Run, Trace

_MIN_TYPING_SECONDS = 2.0
"""A run at a terminal that ended sooner had no input: nobody types as fast."""
_INPUTS = {
    StdinKind.TERMINAL: "input that was typed, if any,",
    StdinKind.PIPE: "its input from a pipe",
    StdinKind.FILE: "its input from a file",
}


def find_unrepeated(trace: Trace) -> tuple[str, ...]:
    """Sentences about what was part of the traced runs, and no repeat tries."""
    lines = (line for run in trace.runs for line in _list_unrepeated(run, trace))
    return tuple(dict.fromkeys(lines))


def _is_too_short(run: Run) -> bool:
    is_terminal = run.stdin is StdinKind.TERMINAL
    return is_terminal and run.seconds is not None and run.seconds < _MIN_TYPING_SECONDS


def _list_unrepeated(run: Run, trace: Trace) -> Iterator[str]:
    command = " ".join(run.command)
    driving = run.drive_options
    if driving is not None and driving.has_actions:
        return
    is_service = bool(trace.listening) and driving is not None
    if run.interrupted is not None or is_service:
        yield (
            f"{command}: requests to it (of pytest, other tests or people) were not repeated: "
            "trace them with --http-get, --exec or --exec-in, as slimtrace run --append --exec "
            "'pytest tests'; or run the tests on the image, as pytest -o slimtrace_image=IMAGE"
        )
    elif run.stdin is not None and not _is_too_short(run):
        yield (
            f"{command}: {_INPUTS[run.stdin]} was not repeated, its stdin was empty: trace a "
            "command that reads a file, as slimtrace run -- sh -c 'COMMAND <FILE'"
        )
