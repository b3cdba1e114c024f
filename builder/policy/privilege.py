"""What the runs did that a user without privilege could not do, in the image that is built."""

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
)
from slimtrace.builder.root.root import list_parents
from slimtrace.tracer.trace.trace import State, Use

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Fingerprint, Trace, TracedPath

_MAX_NAMED_THINGS = 3
_LAST_PRIVILEGED = 1023
"""net.ipv4.ip_unprivileged_port_start is 1024 unless an engine lowers it (ip(7))."""
_READING = {Use.READ, Use.EXEC, Use.LIST, Use.CHDIR}
_CALLS = re.compile(
    r"(?:set(?:re|res|fs)?[ug]id|setgroups|l?chown)(?:32)?|fchownat"
    r"|chroot|pivot_root|mount|umount2?|move_mount"
    r"|set(?:host|domain)name|settimeofday|clock_settime(?:64)?|stime|swapo(?:n|ff)|reboot|acct"
    r"|(?:init|finit|delete)_module|kexec(?:_file)?_load|iopl|ioperm|vhangup|quotactl(?:_fd)?"
)
"""Calls that need a capability for what they are made for (capabilities(7)).

Not fchown, by which SQLite, as root alone, gives its journals the database's owner.
"""
_OF_JVMS = re.compile(r"/tmp/hsperfdata_[^/]*")  # noqa: S108 -- the image's
"""Where each JVM tells of itself, and tidies up after others of its user."""


class GrantedPrivilege(NamedTuple):
    """What the build gives the user: to read all files, and the folders the runs wrote to."""

    read: bool = False
    write: bool = False


def find_privileged_acts(
    trace: Trace, root: Root, user: tuple[int, int], granted: GrantedPrivilege
) -> list[str]:
    """What these runs did and this user could not, in words that follow "the app"; empty for none.

    :param user: uid and gid.
    """
    sight = _Sight(trace, root, user)
    needs = [
        _listed("listens on port", [str(port) for port in sight.ports()]),
        _listed("writes to", [] if granted.write else sight.written()),
        _listed("changes", sight.changed()),
        _listed("reads", [] if granted.read else sight.barred()),
        _listed("calls", sight.calls()),
    ]
    return [need for need in needs if need]


class _Sight:
    def __init__(self, trace: Trace, root: Root, user: tuple[int, int]) -> None:
        self._trace = trace
        self._root = root
        self._user = user
        self._volumes = collect_volumes(trace.runs)

    def ports(self) -> list[int]:
        found = {heard.port for heard in self._trace.listening}
        return sorted(port for port in found if 0 < port <= _LAST_PRIVILEGED)

    def calls(self) -> list[str]:
        found = [name for name in self._trace.observed_syscalls if _CALLS.fullmatch(name)]
        families = self._trace.arguments.get("socket", ())
        return [*found, *(["socket(AF_PACKET)"] if socket.AF_PACKET in families else [])]

    def written(self) -> list[str]:
        """What the runs made in folders of the full image."""
        created = [path for path in self._trace.with_state(State.CREATED) if self._is_files(path)]
        names = {path.path for path in created}
        tops = [path for path in created if os.path.dirname(path.path) not in names]
        return [path.path for path in tops if not self._may_make(os.path.dirname(path.path))]

    def changed(self) -> list[str]:
        """What the runs changed of the full image: files, and their names and attributes."""
        found = [path.path for path in self._of_the_image() if self._is_barred_change(path)]
        return [*found, *self._in_volumes({Use.WRITE}, may_write)]

    def barred(self) -> list[str]:
        """What the runs read, by what bars the user from it."""
        entries: dict[str, Entry] = {}
        own = []
        read = (path.path for path in self._of_the_image() if path.uses & _READING)
        for name in [*read, *(run.cwd for run in self._trace.runs)]:
            found = self._root.resolve(name)
            if not found.exists or is_in_volume(self._volumes, found.path):
                continue
            for path in (*list_parents(found.path), found.path):
                if path not in entries and self._root.kind(path) is not None:
                    entries[path] = self._root.entry(path, ())
            own.append(found.path)
        closed = (
            find_barriers(entries, entries[path], *self._user) for path in own if path in entries
        )
        first = {barrier for above in closed for barrier in above[:1]}
        return [*sorted(first), *self._in_volumes(_READING, may_read)]

    def _of_the_image(self) -> Iterator[TracedPath]:
        return (path for path in self._trace.with_state(State.FILE) if self._counts(path))

    def _in_volumes(self, uses: set[Use], may: Callable[[Entry, int, int], bool]) -> list[str]:
        """What the runs used in this way of a volume, which shows this user the same file."""
        return [
            path.path
            for path in self._trace.with_state(State.FILE)
            if path.uses & uses
            and is_in_volume(self._volumes, path.path)
            and path.fingerprint is not None
            and stat.S_ISREG(path.fingerprint.mode)
            and not may(_entry(path.path, path.fingerprint), *self._user)
        ]

    def _counts(self, path: TracedPath) -> bool:
        own = self._root.resolve(path.path).path
        return self._is_files(path) and not is_in_volume(self._volumes, path.path, own)

    def _is_files(self, path: TracedPath) -> bool:
        own = self._root.resolve(path.path).path
        return not any(map(is_kernel_path, (path.path, own))) and not is_bytecode(path.path)

    def _is_barred_change(self, path: TracedPath) -> bool:
        found = self._root.resolve(path.path, follow=Use.DELETE not in path.uses)
        kind = self._root.kind(found.path)
        if not found.exists or kind is None:
            return False
        if _OF_JVMS.fullmatch(os.path.dirname(found.path)):
            return False
        entry = self._root.entry(found.path, ())
        if Use.ATTR in path.uses and entry.uid != self._user[0]:
            return True
        if Use.DELETE in path.uses and not self._may_make(os.path.dirname(found.path)):
            return True
        return Use.WRITE in path.uses and kind is Kind.FILE and not may_write(entry, *self._user)

    def _may_make(self, folder: str) -> bool:
        """Whether the user may make something in a folder as it is in the image.

        A new volume has the owner and mode of the image's folder, unless the runs saw another one.
        """
        own = self._root.resolve(folder)
        seen = self._trace.paths.get(folder)
        if is_in_volume(self._volumes, folder, own.path) and seen and seen.fingerprint:
            return may_write(_entry(folder, seen.fingerprint), *self._user)
        if f"{own.path}/".startswith(f"{RUNTIME}/"):
            return False  # it is empty there, and root's
        if own.path == "/tmp" or _OF_JVMS.fullmatch(own.path):  # noqa: S108 -- the image's
            return True  # which is everybody's
        if not own.exists or self._root.kind(own.path) is not Kind.DIRECTORY:
            return own.path.startswith("/tmp/")  # noqa: S108 -- the image's
        return may_write(self._root.entry(own.path, ()), *self._user)


def _entry(path: str, seen: Fingerprint) -> Entry:
    kind = Kind.DIRECTORY if stat.S_ISDIR(seen.mode) else Kind.FILE
    return Entry(path, kind, stat.S_IMODE(seen.mode), seen.uid, seen.gid, seen.mtime_ns)


def _listed(verb: str, things: Iterable[str]) -> str:
    found = [*things]
    more = f" and {len(found) - _MAX_NAMED_THINGS} more" if len(found) > _MAX_NAMED_THINGS else ""
    return f"{verb} {', '.join(found[:_MAX_NAMED_THINGS])}{more}" if found else ""
