"""How the builder has an image started, which never touches a live process itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.builder.sources.full import FullImage
    from slimtrace.tracer.trial.tried import Trial, Tried


class Starting:
    """Set by whoever joins the builder with the tracer.

    :cvar start: starts an image once.
    """

    start: Callable[[FullImage, Trial], Tried] | None = None


def start(image: FullImage, trial: Trial) -> Tried:
    """How one start of the image goes.

    :raises SlimtraceError: it cannot be tried here.
    """
    if Starting.start is None:
        raise AssertionError
    return Starting.start(image, trial)
