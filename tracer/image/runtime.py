"""Which image an app is to run in, and as what."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.errors import SlimtraceError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

NETWORKS = ("host", "none")


class Volume(NamedTuple):
    """What of this machine the app sees at ``target``, absolute in the image."""

    source: str
    target: str
    read_only: bool = False

    def __str__(self) -> str:
        return f"{self.source}:{self.target}{':ro' if self.read_only else ''}"


@dataclass(frozen=True, slots=True)
class ImageRun:
    """An image that is unpacked, and how the app is to run there.

    :ivar root: the directory with the pristine tree; nothing in it is changed.
    :ivar image: the words that name the image, as ``oci:./full:latest``.
    :ivar digest: of its manifest; None where it has none.
    :ivar env: the whole environment; PATH, HOME and HOSTNAME get what engines give them where
        they are not set.
    :ivar user: ``USER[:GROUP]``, each a number or a name of the image's /etc/passwd or /etc/group;
        empty for root.
    :ivar workdir: absolute in the image; made where it is missing, as engines do.
    :ivar network: the machine's own, ``host``, or ``none``: a loopback interface.
    :ivar hostname: None for this machine's, or ``slimtrace`` without a network.
    :ivar read_only: whether only volumes and what engines leave writable can be written.
    :ivar below: a directory whose names show where the image has none; None for nothing.
    :ivar cap_drop: capabilities that not even root has, by name; ``all`` for every one.
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
    cap_drop: tuple[str, ...] = ()
    below: str | None = None


def parse_volume(text: str) -> Volume:
    """``HOST:PATH``, with ``:ro`` or ``:rw`` behind it, as container engines take it.

    :raises UsageError: it is something else.
    :raises SlimtraceError: there is no such HOST.
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
    if not os.path.exists(source):
        raise SlimtraceError(
            f"cannot use --volume {text}: {source} does not exist",
            "HOST is a file or directory of this machine: there are no named volumes",
        )
    return Volume(os.path.abspath(source), place, mode == "ro")
