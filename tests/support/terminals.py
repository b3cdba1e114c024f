"""Programs at a terminal of their own, and what they print there."""

from __future__ import annotations

import os
import pty
import select

from traces import environment

TIMEOUT_SECONDS = 30.0


def start_at_terminal(words: list[str]) -> tuple[int, int]:
    """A program at a terminal of its own: its process id and the terminal's other end."""
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execve(words[0], words, environment())  # noqa: S606 -- pty.fork has no other way
        finally:
            os._exit(127)
    return pid, terminal


def read_until(terminal: int, word: bytes, again: bytes = b"") -> bytes:
    """What is said up to a word.

    :param again: typed after a while, as a person would where a busy shell took no notice.
    """
    said = b""
    while word not in said:
        ready, _, _ = select.select([terminal], [], [], TIMEOUT_SECONDS / 3)
        if not ready and again:
            os.write(terminal, again)
        ready, _, _ = select.select([terminal], [], [], TIMEOUT_SECONDS)
        assert ready, f"{word!r} was never said: {said!r}"
        said += os.read(terminal, 4096)
    return said


def read_to_end(terminal: int) -> bytes:
    said = b""
    while True:
        ready, _, _ = select.select([terminal], [], [], TIMEOUT_SECONDS)
        assert ready, said
        try:
            part = os.read(terminal, 4096)
        except OSError:  # EIO: nobody has the other end open any more
            return said
        if not part:
            return said
        said += part
