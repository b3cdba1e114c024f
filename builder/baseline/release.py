"""The files that say which distribution this is (os-release(5), and those before it)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from slimtrace.builder.images.root import Root

_ENDING = "-release"


def release_files(root: Root) -> list[str]:
    """Paths that may lead to one; not all exist.

    Scanners know Debian by ``debian_version`` alone, others by ``alpine-release``,
    ``rocky-release``, ``lsb-release`` and so on, or by os-release in either place.
    """
    named = [f"/etc/{name}" for name in root.listdir("/etc") if name.endswith(_ENDING)]
    return [*named, "/usr/lib/os-release", "/etc/debian_version"]
