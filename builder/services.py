"""The services that need both halves: main.py makes them, commands pass them on as arguments.

The builder never touches a live process, and the tracer knows no image format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.tracer.image.opened_image import OpenImage
    from slimtrace.tracer.rerun_options import RerunOptions
    from slimtrace.tracer.startup.trial import Trial, TrialResult
    from slimtrace.tracer.trace.trace import Run


class Rerun(Protocol):
    """Repeats a traced run in an image, driven in the same way, and traces it."""

    def __hash__(self) -> int: ...  # a key of jlink's cache

    def __call__(
        self,
        image: FullImage,
        run: Run,
        trace: str,
        changes: RerunOptions,
        *,
        is_default: bool,
        user: str | None,
        below: str | None,
    ) -> None:
        """Run it and write its trace to a new file.

        :param image: the image to run in; ``root`` is ``/`` for this machine.
        :param changes: how the run differs from the traced one.
        :param is_default: whether the image's own configuration starts this run.
        :param user: the user where ``changes`` has none; None for the image's user.
        :param below: a directory whose files appear where the image has none; None for the image
            alone.
        :raises CommandNotFoundError: the image has no such program.
        :raises CannotExecuteError: the program cannot be executed.
        """


class StartImage(Protocol):
    """Starts an image once, untraced."""

    def __call__(self, image: FullImage, trial: Trial) -> TrialResult:
        """Start it, wait until it is ready, and stop it.

        :raises SlimtraceError: it cannot be started on this machine.
        """


@dataclass(frozen=True, slots=True)
class Services:
    """The object of typer's context (``Context.obj``).

    :ivar open_image: opens an image for the tracer.
    :ivar rerun: repeats a traced run.
    :ivar start: starts an image for ``check``.
    :ivar check_rerun: checks, before the work, how repeated runs are to differ, and ``--ready``.
    """

    open_image: OpenImage
    rerun: Rerun
    start: StartImage
    check_rerun: Callable[[RerunOptions, str | None], None]
