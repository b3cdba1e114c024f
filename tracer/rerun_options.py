"""How a repeated run differs from the traced one: data only, so that the builder knows it too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RerunOptions:
    """What differs from the run that was traced.

    :ivar env: ``NAME=VALUE`` or ``NAME``, added to the image's environment: no trace records them.
    :ivar volumes: ``HOST:PATH[:ro]``, each replaces the run's own volume at that PATH.
    :ivar user: ``USER[:GROUP]``; None for the image's user.
    :ivar read_only: whether the root is read-only.
    :ivar cap_drop: names of capabilities to drop, without ``CAP_``.
    """

    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    user: str | None = None
    read_only: bool = False
    cap_drop: tuple[str, ...] = ()
