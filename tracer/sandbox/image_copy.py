"""Copies an image's tree where nothing can be laid over it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import SlimtraceError

if TYPE_CHECKING:
    from collections.abc import Iterable

_IGNORED = "cannot create special file"
"""By cp(1), without CAP_MKNOD. A container of the image would not have those devices either."""


def copy_image(tree: str, target: str, options: Iterable[str] = ()) -> None:
    """Copy a tree with owners, times and attributes, onto a folder that exists.

    :raises SlimtraceError: something could not be copied.
    """
    done = subprocess.run(
        ["cp", "-a", *options, f"{tree}/.", target],
        check=False,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
    )
    lines = [line for line in done.stderr.strip().splitlines() if _IGNORED not in line]
    if done.returncode != 0 and (lines or not done.stderr):
        raise SlimtraceError(
            f"cannot copy the image: {lines[-1] if lines else 'cp failed'}",
            "set TMPDIR to a directory with more room",
        )
