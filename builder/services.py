"""How the builder has runs repeated, which never touches a live process itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.builder.images.read.full_image_source import FullImage
    from slimtrace.tracer.trace.trace import Run


class Rerun(Protocol):
    """Runs in a slim image what a run ran in the full one, driven in the same way, traced."""

    def __call__(
        self,
        image: FullImage,
        run: Run,
        trace: str,
        *,
        is_default: bool,
        user: str | None,
        below: str | None,
    ) -> None:
        """Write the trace to a new file.

        :param is_default: whether it is the run that the image's own configuration starts.
        :param user: None for the image's user.
        :param below: a directory whose names show where the image has none; None for the image
            as it is.
        :raises CommandNotFoundError: there is no such program in the image.
        :raises CannotExecuteError: it cannot be executed.
        """


class Tracing:
    """Set by whoever joins the builder with the tracer.

    :cvar rerun: takes variables, volumes, a user and capabilities, as ``verify`` is given them.
    """

    rerun: Callable[..., Rerun] | None = None


def tracing(*words: object, **flags: bool) -> Rerun:
    """What repeats runs, as the user wants them repeated."""
    if Tracing.rerun is None:
        raise AssertionError
    return Tracing.rerun(*words, **flags)
