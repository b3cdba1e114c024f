"""Runs the slimtrace command."""

from __future__ import annotations

import os
import subprocess
import sys

SECONDS = 180.0
"""Much longer than any command here takes."""


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
