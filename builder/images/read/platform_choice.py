"""Platforms of images, such as ``linux/arm64/v8``, and the choice among them."""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_PART = re.compile(r"[a-z0-9_.]+")
# Machine names of uname(2), each with GOARCH and GOARM.
_MACHINES = {
    "x86_64": ("amd64", ""),
    "aarch64": ("arm64", ""),
    "armv7l": ("arm", "v7"),
    "armv6l": ("arm", "v6"),
    "i686": ("386", ""),
    "loongarch64": ("loong64", ""),
}
_DEFAULT_VARIANTS = {"arm64": "v8", "amd64": "v1", "arm": "v7"}
"""The variant of an image that names none."""


class Platform(NamedTuple):
    """A platform (image-index.md); ``variant`` is "" where there is none."""

    os: str
    architecture: str
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


def own_platform() -> Platform:
    """The platform of this machine."""
    machine = platform.machine()
    return Platform("linux", *_MACHINES.get(machine, (machine, "")))


def parse_platform(text: str | None) -> Platform:
    """Parse ``--platform``: ``linux/arm64``, ``linux/arm64/v8``; None for this machine's platform.

    :raises UsageError: ``text`` is not a platform.
    """
    if text is None:
        return own_platform()
    parts = text.lower().split("/")
    if len(parts) not in {2, 3} or not all(_PART.fullmatch(part) for part in parts):
        raise UsageError(
            f"cannot use --platform {text}: it is not OS/ARCHITECTURE[/VARIANT]",
            "as in --platform linux/arm64",
        )
    return Platform(*parts)


def choose_best(requested: Platform, available: Sequence[Platform | None]) -> int | None:
    """The position of the best match in ``there``, the first of equals; None if none matches.

    A variant in ``requested`` must match exactly, or be the default of an image without a variant.
    Without one the default variant is preferred: another one may not run here.
    """
    found = [
        (_distance(requested, each), at)
        for at, each in enumerate(available)
        if each is not None and each[:2] == requested[:2]
    ]
    fitting = [(distance, at) for distance, at in found if distance is not None]
    return min(fitting)[1] if fitting else None


def _distance(requested: Platform, available: Platform) -> int | None:
    usual = _DEFAULT_VARIANTS.get(requested.architecture, "")
    if available.variant == requested.variant:
        return 0
    if (available.variant or usual) == (requested.variant or usual):
        return 1
    if requested.variant:
        return None
    return 2
