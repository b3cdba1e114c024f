"""How the builder has runs repeated, which never touches a live process itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from slimtrace.builder.verify.loop import Rerun


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
