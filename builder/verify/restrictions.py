"""Says which folder or capability, used when traced, a restricted repeat may have lacked."""

from __future__ import annotations

import os
import re
import socket
import stat
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind
from slimtrace.builder.root.excluded_paths import (
    collect_volumes,
    is_bytecode,
    is_in_volume,
    is_kernel_path,
)
from slimtrace.tracer.rerun_options import normalize_capability
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.rerun_options import RerunOptions
    from slimtrace.tracer.trace.trace import Trace, TracedPath

_MAX_NAMED_OBJECTS = 3
_LAST_PRIVILEGED_PORT = 1023
_WRITABLE = ("/tmp", "/run", "/var/tmp")  # noqa: S108 -- the image's, as engines leave them
_CHANGING = {Use.WRITE, Use.CREATE, Use.DELETE, Use.ATTR}
_CALLS = {
    "SETUID": re.compile(r"set(?:re|res|fs)?uid(?:32)?"),
    "SETGID": re.compile(r"set(?:re|res|fs)?gid(?:32)?|setgroups(?:32)?"),
    "CHOWN": re.compile(r"[fl]?chown(?:32)?|fchownat"),
    "SYS_CHROOT": re.compile(r"chroot"),
    "SYS_ADMIN": re.compile(r"u?mount2?|pivot_root|move_mount|set(?:host|domain)name"),
}
"""Calls that need a capability for their main purpose (capabilities(7))."""
_ALL = "ALL"


def explain_restrictions(
    trace: Trace, root: Root, changes: RerunOptions, declared_volumes: Iterable[str]
) -> list[str]:
    """Sentences for a repeat that went differently with a read-only root or without capabilities.

    :param root: the full image.
    :param declared_volumes: those of the slim image, which stay writable.
    """
    lines = []
    if changes.read_only:
        folders = _find_written_folders(trace, root, declared_volumes)
        if folders:
            lines.append(
                f"the root was read-only; when traced, the app wrote in {_join(folders)}: mount "
                f"something there, as -v DIR:{folders[0]}, or declare it: build --volume "
                f"{folders[0]}"
            )
    if changes.cap_drop:
        lines += _explain_capabilities(trace, root, changes)
    return lines


def _explain_capabilities(trace: Trace, root: Root, changes: RerunOptions) -> Iterator[str]:
    dropped, added = (
        {*map(normalize_capability, names)} for names in (changes.cap_drop, changes.cap_add)
    )
    lacking = {
        name: acts
        for name, acts in _find_used_capabilities(trace, root).items()
        if (name in dropped or _ALL in dropped) and not added & {name, _ALL}
    }
    for name, acts in lacking.items():
        yield f"it had no {name}; when traced, the app {_join(acts)}: --cap-add {name}"
    if not lacking and any(run.user.startswith("0:") for run in trace.runs):
        yield (
            "the trace does not show which dropped capability the app used; it may be "
            "DAC_OVERRIDE, for files whose mode denies access, or KILL, for other users' "
            "processes: --cap-add"
        )


def _find_used_capabilities(trace: Trace, root: Root) -> dict[str, list[str]]:
    """Each capability that the runs used, and for what."""
    ports = sorted(each.port for each in trace.listening if 0 < each.port <= _LAST_PRIVILEGED_PORT)
    used = {"NET_BIND_SERVICE": [f"listened on port {port}" for port in ports]}
    for capability, calls in _CALLS.items():
        names = [name for name in trace.observed_syscalls if calls.fullmatch(name)]
        used[capability] = [f"called {name}" for name in names]
    if socket.AF_PACKET in trace.arguments.get("socket", ()):
        used["NET_RAW"] = ["opened a packet socket"]
    changed = [
        path.path
        for path in _list_changed(trace, root)
        if Use.ATTR in path.uses and path.fingerprint is not None and path.fingerprint.uid != 0
    ]
    closed = (path.path for path in trace.paths.values() if _needs_override(path))
    used["DAC_OVERRIDE"] = [f"used {path}, which its mode denies to root" for path in closed]
    used["FOWNER"] = [f"changed the metadata of {path}" for path in changed]
    return {name: acts for name, acts in used.items() if acts}


def _needs_override(path: TracedPath) -> bool:
    """Whether the mode of a file denies root what a run did with it (inode(7))."""
    status = path.fingerprint
    if status is None or stat.S_ISLNK(status.mode):
        return False
    shift = 6 if status.uid == 0 else 3 if status.gid == 0 else 0
    reads = 4 if path.uses & {Use.READ, Use.LIST} else 0
    bits = reads | (2 if Use.WRITE in path.uses else 0)
    return status.mode >> shift & bits != bits


def _find_written_folders(trace: Trace, root: Root, declared: Iterable[str]) -> list[str]:
    """The full image's directories in which the runs changed something, unless always writable."""
    writable = (*_WRITABLE, *declared)
    folders = {
        _find_existing(root, os.path.dirname(path.path)) for path in _list_changed(trace, root)
    }
    return sorted(folder for folder in folders if not is_in_volume(writable, folder))


def _list_changed(trace: Trace, root: Root) -> Iterator[TracedPath]:
    volumes = collect_volumes(trace.runs)
    for path in trace.paths.values():
        is_changed = path.state is State.CREATED or bool(path.uses & _CHANGING)
        own = root.resolve(path.path).path
        is_outside = any(map(is_kernel_path, (path.path, own))) or is_bytecode(path.path)
        if is_changed and not is_outside and not is_in_volume(volumes, path.path, own):
            yield path


def _find_existing(root: Root, folder: str) -> str:
    """The own path of a directory of the full image, or of its nearest parent there."""
    while True:
        own = root.resolve(folder)
        if own.exists and root.kind(own.path) is Kind.DIRECTORY:
            return own.path
        folder = os.path.dirname(folder)


def _join(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMED_OBJECTS} more" if len(names) > _MAX_NAMED_OBJECTS else ""
    return f"{', '.join(names[:_MAX_NAMED_OBJECTS])}{more}"
