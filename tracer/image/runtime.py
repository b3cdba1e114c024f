"""An image that is ready to run, with its user, environment and volumes."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

NETWORKS = ("host", "none")


class Volume(NamedTuple):
    """A file or directory of this machine, bind-mounted at ``target``, absolute in the image."""

    source: str
    target: str
    read_only: bool = False

    def __str__(self) -> str:
        return f"{self.source}:{self.target}{':ro' if self.read_only else ''}"


@dataclass(frozen=True, slots=True)
class ImageRun:
    """An unpacked image, and how to run the app in it.

    :ivar root: the directory with the image's tree; a run does not change it.
    :ivar image: the image's reference, for example ``oci:./full:latest``.
    :ivar digest: of its manifest; None if it has none.
    :ivar env: the whole environment; if PATH, HOME or HOSTNAME is not set, it gets the value that
        engines give it.
    :ivar user: ``USER[:GROUP]``, each a number or a name of the image's /etc/passwd or /etc/group;
        empty for root.
    :ivar workdir: absolute in the image; created if it is missing, as engines do.
    :ivar network: the machine's own, ``host``, or ``none``: a loopback interface.
    :ivar hostname: None for this machine's, or ``slimtrace`` without a network.
    :ivar read_only: whether the root is read-only except for volumes and what engines leave
        writable.
    :ivar below: a directory that shows through where the image has no file of a name; or None.
    :ivar declared_volumes: the paths that the image's config declares as volumes: an engine mounts
        an anonymous volume there, with the folder's contents.
    :ivar cap_drop: capabilities that not even root gets, by name; ``all`` for every one.
    :ivar cap_add: capabilities that root gets beside those of a container, likewise.
    :ivar no_new_privileges: whether setuid programs and file capabilities have no effect.
    :ivar has_reaper: whether process 1 is a reaper, with the app as its child.
    """

    root: str
    image: str
    digest: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    workdir: str = "/"
    volumes: tuple[Volume, ...] = ()
    network: str = "host"
    hostname: str | None = None
    read_only: bool = False
    declared_volumes: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    below: str | None = None
    no_new_privileges: bool = False
    has_reaper: bool = False


def parse_volume(text: str) -> Volume:
    """``HOST:PATH``, with an optional ``:ro`` or ``:rw``, as in container engines.

    :raises UsageError: it has another form.
    :raises SlimtraceError: there is no such HOST.
    """
    volume = split_volume(text)
    if not os.path.exists(volume.source):
        source = text.partition(":")[0]
        raise SlimtraceError(
            f"cannot use --volume {text}: {source} does not exist",
            "HOST is a file or directory of this machine: there are no named volumes",
        )
    return volume


def split_volume(text: str) -> Volume:
    """Like :func:`parse_volume`, but HOST need not exist.

    :raises UsageError: it has another form.
    """
    source, _, rest = text.partition(":")
    target, colon, mode = rest.partition(":")
    if not source or not target.startswith("/") or (colon and mode not in ("ro", "rw")):
        raise UsageError(
            f"cannot use --volume {text}: it is not HOST:PATH or HOST:PATH:ro, PATH absolute"
        )
    place = "/" + os.path.normpath(target).lstrip("/")
    if place == "/":
        raise UsageError(f"cannot use --volume {text}: it would hide the whole image")
    return Volume(os.path.abspath(source), place, mode == "ro")
