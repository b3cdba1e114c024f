"""The permissions of an AppArmor profile on the files of the image, by own path."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from slimtrace.builder.model import Kind, Reason
from slimtrace.builder.root.excluded_paths import is_kernel_path
from slimtrace.builder.root.staleness import follows_symlink
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slimtrace.builder.model import Selection
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace, TracedPath

_CHANGES = frozenset({Use.WRITE, Use.CREATE, Use.DELETE, Use.ATTR, Use.CONNECT})
_PROGRAM_FOLDERS = ("/usr/", "/bin/", "/lib/", "/etc/")
"""Below these the app may create only the names that it created in a run, not any name."""

Permissions = dict[str, frozenset[str]]
"""Own paths, a directory's with a slash at its end, to letters of apparmor.d(5): ``r`` read, ``w``
write, ``m`` map as code, ``ix`` execute under the same profile, ``k`` lock, ``l`` link."""

READ, WRITE = frozenset("r"), frozenset({"r", "w", "k", "l"})
MAP, EXECUTE = frozenset("mr"), frozenset({"m", "r", "ix"})


def find_permissions(trace: Trace, root: Root, selection: Selection) -> Permissions:
    """All files of the slim image may be read and mapped; others follow from what the app did.

    A trace does not say which files the app maps as code. So a file that it may write is not
    allowed to be mapped.
    """
    found: dict[str, frozenset[str]] = {}
    for path, entry in selection.entries.items():
        if is_kernel_path(path):
            continue
        if entry.kind is Kind.DIRECTORY:
            found[f"{path.rstrip('/')}/"] = READ
        elif entry.kind is Kind.FILE:
            runs = Reason.SCRIPT_INTERPRETER in entry.reasons
            found[path] = EXECUTE if runs else MAP
        elif entry.kind is Kind.FIFO:
            found[path] = WRITE
    for traced in trace.with_state(State.FILE):
        own = root.resolve(traced.path, follow=follows_symlink(traced)).path
        if is_kernel_path(own) or is_kernel_path(traced.path):
            continue
        own = f"{own.rstrip('/')}/" if _is_directory(traced, root, own) else own
        found[own] = found.get(own, frozenset()) | _to_letters(traced.uses)
    return {path: letters - {"m"} if "w" in letters else letters for path, letters in found.items()}


def _is_directory(traced: TracedPath, root: Root, own: str) -> bool:
    fingerprint = traced.fingerprint
    if fingerprint is not None and not stat.S_ISLNK(fingerprint.mode):
        return stat.S_ISDIR(fingerprint.mode)
    return root.kind(own) is Kind.DIRECTORY


def _to_letters(uses: frozenset[Use]) -> frozenset[str]:
    letters = READ
    if not _CHANGES.isdisjoint(uses):
        letters |= WRITE
    return letters | EXECUTE if Use.EXEC in uses else letters


def find_created(trace: Trace, root: Root) -> tuple[frozenset[str], Permissions]:
    """Where the app created files: folders in which it may create any name, and single names.

    In the root, and in folders for programs and settings, it may create only the names that it
    created in a run, and anything below them.
    """
    folders: set[str] = set()
    names: Permissions = {}
    for path in trace.with_state(State.CREATED):
        top = _find_top(trace, path.path)
        folder = root.resolve(os.path.dirname(top)).path.rstrip("/")
        own = f"{folder}/{os.path.basename(top)}"
        if is_kernel_path(own) and not own.startswith("/dev/shm/"):  # noqa: S108 -- no file of ours
            continue
        if folder and not f"{folder}/".startswith(_PROGRAM_FOLDERS):
            folders.add(folder)
        else:
            names[own] = WRITE
        if Use.EXEC in path.uses:
            whole = f"{folder}/{os.path.relpath(path.path, os.path.dirname(top))}"
            names[whole] = WRITE | EXECUTE
    return frozenset(folders), names


def _find_top(trace: Trace, path: str) -> str:
    """The topmost directory above a created path that was created too; or the path itself."""
    folder = os.path.dirname(path)
    while folder.strip("/"):
        known = trace.paths.get(folder)
        if known is not None and known.state is State.CREATED:
            path = folder
        folder = os.path.dirname(folder)
    return path


def find_volumes(trace: Trace) -> dict[str, bool]:
    """Mount points of volumes in the image, and whether each was writable."""
    found: dict[str, bool] = {}
    for run in trace.runs:
        for mount in _parse_mounts(run.mounts):
            path, writable = mount
            found[path] = found.get(path, False) or writable
    return found


def _parse_mounts(mounts: Iterable[str]) -> Iterable[tuple[str, bool]]:
    for mount in mounts:
        is_read_only = mount.endswith(":ro")
        yield mount.removesuffix(":ro").rpartition(":")[2].rstrip("/"), not is_read_only
