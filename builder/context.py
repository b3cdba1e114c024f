"""The context that the steps of the pipeline read, and the type of a step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from slimtrace.builder.model import Selection

if TYPE_CHECKING:
    from slimtrace.builder.build_options import BuildOptions
    from slimtrace.builder.root.root import Root
    from slimtrace.builder.services import Rerun
    from slimtrace.tracer.trace.trace import Trace


@dataclass(frozen=True, slots=True)
class Context:
    """The data that the steps of one build read. No step changes it.

    :ivar trace: the runs, processes and paths that count, after ``--drop-process`` and
        ``--only-process``.
    :ivar root: the full image.
    :ivar user: uid and gid of the image's user.
    :ivar rerun: runs jlink in the full image; only ``--jlink`` needs it.
    :ivar volumes: paths of the volumes that the image declares.
    """

    trace: Trace
    root: Root
    options: BuildOptions
    user: tuple[int, int]
    rerun: Rerun | None = None
    volumes: tuple[str, ...] = ()


Step = Callable[[Selection, Context], Selection]
"""A pure function. The selection that it returns contains its dropped paths and warnings."""
