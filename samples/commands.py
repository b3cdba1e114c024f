"""Runs slimtrace and other commands."""

from __future__ import annotations

import os
import subprocess
import sys

SECONDS = 600.0
"""Much longer than any command here takes."""


class SampleError(Exception):
    """A step of a sample failed; the message has the command's errors."""


def call(*argv: str) -> str:
    """Run a command; returns its output.

    :raises SampleError: it failed.
    """
    done = subprocess.run(argv, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise SampleError(f"{' '.join(argv)}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def run_slimtrace(*argv: str) -> subprocess.CompletedProcess[str]:
    """Run slimtrace to its end, with an empty stdin."""
    return subprocess.run(
        [sys.executable, "-m", "slimtrace", *argv],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
