"""What a user may say about a build."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuildOptions:
    """The options of ``build``.

    :ivar include: globs of what is kept besides; ``exclude`` of what is not, and wins.
    :ivar allow_secret: globs of secrets that are let in.
    :ivar user: the image's user, None for the run's.
    :ivar grant_read: open the copies where the image's user could not read them.
    :ivar grant_write: give the folders in which the run made things to the image's user.
    :ivar allow_changed: build from files that are no longer as the run saw them.
    :ivar env: ``NAME=VALUE`` words over the run's environment.
    :ivar entrypoint: None for the traced command's first word; ``cmd`` None for the rest.
    :ivar tag: the image's name in its destination, None for the destination's own.
    :ivar labels: name and value pairs.
    :ivar source_date_epoch: seconds; the image's creation time (reproducible-builds.org).
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    allow_secret: tuple[str, ...] = ()
    user: str | None = None
    grant_read: bool = False
    grant_write: bool = False
    allow_changed: bool = False
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    tag: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    source_date_epoch: int | None = None
