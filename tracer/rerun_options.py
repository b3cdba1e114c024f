"""How a repeated run differs from the traced one: data only, so that the builder knows it too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class VolumeMode(StrEnum):
    """What a repeated run does with volumes.

    :cvar COPY: it changes copies.
    :cvar SHARED: it changes the folders themselves.
    """

    COPY = "copy"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class RerunOptions:
    """What differs from the run that was traced.

    :ivar env: ``NAME=VALUE`` or ``NAME``, added to the image's environment: no trace records them.
    :ivar volumes: ``HOST:PATH[:ro]``, each replaces the run's own volume at that PATH.
    :ivar outputs: ``HOST:PATH``, further volumes, which are never copies.
    :ivar copies_volumes: whether the app sees copies of volumes, and cannot change them.
    :ivar copies_folder: where the copies are kept for the next run that has no state of its own;
        None to drop them after the run.
    :ivar user: ``USER[:GROUP]``; None for the image's user.
    :ivar read_only: whether the root is read-only.
    :ivar cap_drop: names of capabilities to drop, without ``CAP_``.
    :ivar cap_add: names of capabilities to add to those that containers and the traced run have.
    :ivar no_new_privileges: whether setuid programs and file capabilities have no effect, also
        where they had one.
    """

    env: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    user: str | None = None
    read_only: bool = False
    cap_drop: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    copies_volumes: bool = False
    copies_folder: str | None = None
    no_new_privileges: bool = False
