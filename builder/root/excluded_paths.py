"""Paths that no slim image contains, whatever the app touched."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Run

KERNEL = ("/proc", "/sys", "/dev")
RUNTIME = "/run"
ENGINE = frozenset({"/etc/resolv.conf", "/etc/hosts", "/etc/hostname"})

OWN_TOP = frozenset({*KERNEL, RUNTIME, "/tmp"})  # noqa: S108 -- the image's, not this machine's
"""Directories that exist in every container, as mount points or empty; their metadata is fixed."""

_JVM_STATE = re.compile(r"/tmp/hsperfdata_[^/]+(?:/.*)?", re.DOTALL)  # noqa: S108 -- as above
"""Where each JVM keeps counters while it runs, and looks for what dead ones left (jstat(1))."""
_BYTECODE = re.compile(r".*/__pycache__(?:/[^/]*)?")
"""PEP 3147."""


def is_kernel_path(path: str) -> bool:
    """Whether the path is in a file system that the kernel provides."""
    return path.startswith(tuple(f"{top}/" for top in KERNEL)) or path in KERNEL


def is_bytecode(path: str) -> bool:
    """Whether it is bytecode that Python caches if it can write there; it does not need it."""
    return _BYTECODE.fullmatch(path) is not None


def collect_volumes(runs: Iterable[Run]) -> frozenset[str]:
    """The volumes of all runs, as paths in the image."""
    return frozenset(volume for run in runs for volume in run.volumes)


def is_in_volume(volumes: Iterable[str], *paths: str) -> bool:
    """Whether one of the paths is a volume or inside one, which hides the image's files."""
    tops = tuple(f"{volume.rstrip('/')}/" for volume in volumes)
    return any(f"{path}/".startswith(tops) for path in paths)


def exclusion_reason(path: str) -> str | None:
    """Why an image does not contain this path; None if it can contain it.

    ``/proc``, ``/run`` and the like themselves are in every image, empty.
    """
    if path in OWN_TOP:
        return None
    if is_kernel_path(path):
        return "the kernel provides it"
    if path.startswith(RUNTIME + "/") or _JVM_STATE.fullmatch(path):
        return "it is state of the running system"
    if path in ENGINE:
        return "a container engine provides it"
    return None


def is_runtime_folder(root: Root, path: str) -> bool:
    """Whether it is a directory that the full image has below ``/run``.

    Services expect such a directory, which a package made and gave to their user, and do not start
    without it. On this machine's root it is state of what runs there.

    :param path: its own path.
    """
    return path.startswith(RUNTIME + "/") and root.root != "/" and root.kind(path) is Kind.DIRECTORY


def find_exclusion_reason(root: Root, path: str) -> str | None:
    """As :func:`exclusion_reason`; but the full image's directories below ``/run`` are kept, empty.

    :param path: its own path.
    """
    return None if is_runtime_folder(root, path) else exclusion_reason(path)
