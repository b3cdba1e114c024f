"""Runs slimtrace, as users do."""

from __future__ import annotations

import os
import subprocess
import sys

SECONDS = 180.0
"""Nothing here takes nearly as long: beyond this it hangs."""


def slimtrace(*words: str) -> subprocess.CompletedProcess[str]:
    """Run slimtrace to its end, with nothing to read."""
    return subprocess.run(
        [sys.executable, "-m", "slimtrace", *words],
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        stdin=subprocess.DEVNULL,
        timeout=SECONDS,
        env={**os.environ, "LC_ALL": "C.UTF-8"},
    )
