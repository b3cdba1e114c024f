"""Finds what the runs did that a user without privileges cannot do in the image."""

from __future__ import annotations

import os
import re
import socket
import stat
from typing import TYPE_CHECKING, NamedTuple

from slimtrace.builder.model import Entry, Kind
from slimtrace.builder.policy.access import find_barriers, may_read, may_write
from slimtrace.builder.root.excluded_paths import (
    RUNTIME,
    collect_volumes,
    is_bytecode,
    is_in_volume,
    is_kernel_path,
    is_runtime_folder,
)
from slimtrace.builder.root.root import list_parents
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Fingerprint, Trace, TracedPath

_MAX_NAMED_OBJECTS = 3
_LAST_PRIVILEGED_PORT = 1023
"""net.ipv4.ip_unprivileged_port_start is 1024 unless an engine lowers it (ip(7))."""
_READING = {Use.READ, Use.EXEC, Use.LIST, Use.CHDIR}
_PRIVILEGED_CALLS = re.compile(
    r"(?:set(?:re|res|fs)?[ug]id|setgroups|l?chown)(?:32)?|fchownat"
    r"|chroot|pivot_root|mount|umount2?|move_mount"
    r"|set(?:host|domain)name|settimeofday|clock_settime(?:64)?|stime|swapo(?:n|ff)|reboot|acct"
    r"|(?:init|finit|delete)_module|kexec(?:_file)?_load|iopl|ioperm|vhangup|quotactl(?:_fd)?"
)
"""Calls that need a capability for their main purpose (capabilities(7)).

Not fchown: SQLite calls it only as root, to give its journals the database's owner.
"""
_JVM_DATA = re.compile(r"/tmp/hsperfdata_[^/]*")  # noqa: S108 -- the image's
"""Where each JVM writes performance data, and removes the data of ended JVMs of its user."""


class GrantedPrivilege(NamedTuple):
    """The rights that the build grants the image's user.

    :ivar read: it can read all files (``--grant-read``).
    :ivar write: it owns the directories in which the runs created files (``--grant-write``).
    """

    read: bool = False
    write: bool = False


def find_privileged_acts(
    trace: Trace, root: Root, user: tuple[int, int], granted: GrantedPrivilege
) -> list[str]:
    """Find what these runs did and this user cannot do.

    :param user: uid and gid.
    :returns: phrases that follow "the app" in a message, as ``writes to /etc/app``.
    """
    finder = _Finder(trace, root, user)
    needs = [
        _format("listens on port", [str(port) for port in finder.find_ports()]),
        _format("writes to", [] if granted.write else finder.find_creations()),
        _format("changes", finder.find_changes()),
        _format("reads", [] if granted.read else finder.find_reads()),
        _format("calls", finder.find_calls()),
    ]
    return [need for need in needs if need]


class _Finder:
    def __init__(self, trace: Trace, root: Root, user: tuple[int, int]) -> None:
        self._trace = trace
        self._root = root
        self._user = user
        self._volumes = collect_volumes(trace.runs)

    def find_ports(self) -> list[int]:
        """Find the privileged ports on which the runs listened."""
        ports = {listening.port for listening in self._trace.listening}
        return sorted(port for port in ports if 0 < port <= _LAST_PRIVILEGED_PORT)

    def find_calls(self) -> list[str]:
        """Find the system calls that need a capability."""
        calls = [
            name for name in self._trace.observed_syscalls if _PRIVILEGED_CALLS.fullmatch(name)
        ]
        families = self._trace.arguments.get("socket", ())
        return [*calls, *(["socket(AF_PACKET)"] if socket.AF_PACKET in families else [])]

    def find_creations(self) -> list[str]:
        """Find the paths that the runs created in directories that the user may not write."""
        created = [path for path in self._trace.with_state(State.CREATED) if self._is_file(path)]
        names = {path.path for path in created}
        tops = [path for path in created if os.path.dirname(path.path) not in names]
        return [path.path for path in tops if not self._may_create_in(os.path.dirname(path.path))]

    def find_changes(self) -> list[str]:
        """Find the files that the runs changed, or renamed or deleted, and the user may not."""
        changes = [path.path for path in self._list_image_files() if self._is_denied_change(path)]
        return [*changes, *self._find_in_volumes({Use.WRITE}, may_write)]

    def find_reads(self) -> list[str]:
        """Find the paths that deny the user access to files that the runs read."""
        entries: dict[str, Entry] = {}
        targets = []
        read = (path.path for path in self._list_image_files() if path.uses & _READING)
        for name in [*read, *(run.cwd for run in self._trace.runs)]:
            own = self._root.resolve(name)
            if not own.exists or is_in_volume(self._volumes, own.path):
                continue
            for path in (*list_parents(own.path), own.path):
                if path not in entries and self._root.kind(path) is not None:
                    entries[path] = self._root.entry(path, ())
            targets.append(own.path)
        barriers = (
            find_barriers(entries, entries[path], *self._user)
            for path in targets
            if path in entries
        )
        first = {barrier for each in barriers for barrier in each[:1]}
        return [*sorted(first), *self._find_in_volumes(_READING, may_read)]

    def _list_image_files(self) -> Iterator[TracedPath]:
        return (path for path in self._trace.with_state(State.FILE) if self._is_in_image(path))

    def _find_in_volumes(self, uses: set[Use], may: Callable[[Entry, int, int], bool]) -> list[str]:
        """Find the files in volumes that the runs used in this way and the user may not.

        The user will see the same files in the volumes.
        """
        return [
            path.path
            for path in self._trace.with_state(State.FILE)
            if path.uses & uses
            and is_in_volume(self._volumes, path.path)
            and path.fingerprint is not None
            and stat.S_ISREG(path.fingerprint.mode)
            and not may(_entry(path.path, path.fingerprint), *self._user)
        ]

    def _is_in_image(self, path: TracedPath) -> bool:
        own = self._root.resolve(path.path).path
        return self._is_file(path) and not is_in_volume(self._volumes, path.path, own)

    def _is_file(self, path: TracedPath) -> bool:
        """Whether the path is neither in a file system of the kernel nor Python bytecode."""
        own = self._root.resolve(path.path).path
        return not any(map(is_kernel_path, (path.path, own))) and not is_bytecode(path.path)

    def _is_denied_change(self, path: TracedPath) -> bool:
        own = self._root.resolve(path.path, follow=Use.DELETE not in path.uses)
        kind = self._root.kind(own.path)
        if not own.exists or kind is None:
            return False
        if _JVM_DATA.fullmatch(os.path.dirname(own.path)):
            return False
        entry = self._root.entry(own.path, ())
        if Use.ATTR in path.uses and entry.uid != self._user[0]:
            return True
        if Use.DELETE in path.uses and not self._may_create_in(os.path.dirname(own.path)):
            return True
        return Use.WRITE in path.uses and kind is Kind.FILE and not may_write(entry, *self._user)

    def _may_create_in(self, folder: str) -> bool:
        """Whether the user may create files in a directory of the image.

        A new volume gets the owner and mode of the image's directory, unless the runs saw others.
        """
        own = self._root.resolve(folder)
        seen = self._trace.paths.get(folder)
        if is_in_volume(self._volumes, folder, own.path) and seen and seen.fingerprint:
            return may_write(_entry(folder, seen.fingerprint), *self._user)
        if f"{own.path}/".startswith(f"{RUNTIME}/") and not is_runtime_folder(self._root, own.path):
            return False  # in the image, /run belongs to root and what the app made there is gone
        if own.path == "/tmp" or _JVM_DATA.fullmatch(own.path):  # noqa: S108 -- the image's
            return True  # everybody may write there
        if not own.exists or self._root.kind(own.path) is not Kind.DIRECTORY:
            return own.path.startswith("/tmp/")  # noqa: S108 -- the image's
        return may_write(self._root.entry(own.path, ()), *self._user)


def _entry(path: str, seen: Fingerprint) -> Entry:
    kind = Kind.DIRECTORY if stat.S_ISDIR(seen.mode) else Kind.FILE
    return Entry(path, kind, stat.S_IMODE(seen.mode), seen.uid, seen.gid, seen.mtime_ns)


def _format(verb: str, objects: Iterable[str]) -> str:
    names = [*objects]
    more = f" and {len(names) - _MAX_NAMED_OBJECTS} more" if len(names) > _MAX_NAMED_OBJECTS else ""
    return f"{verb} {', '.join(names[:_MAX_NAMED_OBJECTS])}{more}" if names else ""
