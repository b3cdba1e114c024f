"""Programs that run at their own terminal, and their output there."""

from __future__ import annotations

import os
import pty
import select

from traces import environment

TIMEOUT_SECONDS = 120.0


def start_at_terminal(argv: list[str]) -> tuple[int, int]:
    """Start a program at a new terminal; return its process ID and the terminal's master side."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execve(argv[0], argv, environment())  # noqa: S606 -- pty.fork has no other way
        finally:
            os._exit(127)
    return pid, terminal


def read_until(terminal: int, word: bytes, again: bytes = b"") -> bytes:
    """Return the output up to a word.

    :param again: input to send again if there is no output: a busy shell may discard the first.
    """
    output = b""
    while word not in output:
        ready, _, _ = select.select([terminal], [], [], TIMEOUT_SECONDS / 3)
        if not ready and again:
            os.write(terminal, again)
        ready, _, _ = select.select([terminal], [], [], TIMEOUT_SECONDS)
        assert ready, f"{word!r} was never printed: {output!r}"
        output += os.read(terminal, 4096)
    return output


def read_to_end(terminal: int) -> bytes:
    output = b""
    while True:
        ready, _, _ = select.select([terminal], [], [], TIMEOUT_SECONDS)
        assert ready, output
        try:
            part = os.read(terminal, 4096)
        except OSError:  # EIO: no process has the other side open
            return output
        if not part:
            return output
        output += part
