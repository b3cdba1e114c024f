"""How a repeated run differs from the traced one: data only, so that the builder knows it too."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


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
    :ivar cap_drop: names of capabilities to drop, as the user wrote them; so is ``cap_add``.
    :ivar cap_add: names of capabilities to add to those that containers and the traced run have.
    :ivar no_new_privileges: whether setuid programs and file capabilities have no effect, also
        where they had one.
    :ivar answers: a new file for the answers in full (:mod:`slimtrace.tracer.trace.answers`); then
        an action that fails does not end the run. None for the statuses alone.
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
    answers: str | None = None

    @classmethod
    def from_command_line(
        cls,
        env: Iterable[str] | None,
        volume: Iterable[str] | None,
        volumes: VolumeMode,
        cap_drop: Iterable[str] | None,
        cap_add: Iterable[str] | None,
        *,
        read_only: bool,
        user: str | None = None,
        security_opt: Iterable[str] | None = None,
    ) -> RerunOptions:
        """Collect the options of the commands that repeat runs; None for one that is not given.

        :raises UsageError: a value of ``--security-opt`` is not known.
        """
        return cls(
            tuple(env or ()),
            tuple(volume or ()),
            user,
            read_only,
            tuple(cap_drop or ()),
            tuple(cap_add or ()),
            copies_volumes=volumes is VolumeMode.COPY,
            no_new_privileges=parse_security_options(security_opt or ()),
        )


def normalize_capability(word: str) -> str:
    """The name of a capability in capitals and without ``CAP_``, which users may leave out."""
    return word.upper().removeprefix("CAP_")


def parse_security_options(options: Iterable[str]) -> bool:
    """Whether ``--security-opt`` asks for no new privileges, in the words of podman and docker.

    :raises UsageError: an option is another one.
    """
    values = {
        "no-new-privileges": True,
        "no-new-privileges:true": True,
        "no-new-privileges=true": True,
        "no-new-privileges:false": False,
        "no-new-privileges=false": False,
    }
    last = False
    for option in options:
        if option not in values:
            raise UsageError(
                f"cannot use --security-opt {option}: only no-new-privileges is known",
                "the sandbox has no other security options",
            )
        last = values[option]
    return last
