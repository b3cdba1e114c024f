"""Keeps how volumes are before a run, so that a job that changes them can be repeated."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from slimtrace.tracer.console import say
from slimtrace.tracer.errors import SlimtraceError
from slimtrace.tracer.tree_copy import copy_tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.tracer.image.runtime import Volume
    from slimtrace.tracer.trace.writer import TraceWriter


def keep_volumes(volumes: Iterable[Volume], writer: TraceWriter) -> dict[str, str]:
    """Copy the volumes that the app may change; return target → copy.

    What is too large to copy is said. Sockets and devices have no state of their own.
    """
    before = {}
    for volume in volumes:
        kind = stat.S_IFMT(os.stat(volume.source).st_mode)
        if volume.read_only or kind not in {stat.S_IFDIR, stat.S_IFREG}:
            continue
        staged, final = writer.stage_copy()
        try:
            copy_tree(os.path.realpath(volume.source), staged)
        except SlimtraceError as error:
            say(f"{error.message}: verify will repeat this run on a copy as the volume is then")
            writer.drop_copy(staged)
            continue
        before[volume.target] = final
    return before
