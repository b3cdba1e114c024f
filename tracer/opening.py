"""How the tracer has images opened, of whose innards it knows nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.tracer.imagerun import Opener


class Images:
    """What opens the image of ``--image``: set by whoever joins the tracer with what knows how."""

    opener: Opener | None = None
