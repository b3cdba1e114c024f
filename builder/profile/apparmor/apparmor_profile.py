"""The AppArmor profile (apparmor.d(5)) of an app in its slim image."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from typing import TYPE_CHECKING

from slimtrace.builder.profile.apparmor.kernel_paths import kernels, quoted
from slimtrace.builder.profile.apparmor.permissions import MAP, WRITE, made, permissions, volumes
from slimtrace.builder.profile.seccomp.seccomp_rules import families_of
from slimtrace.tracer.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slimtrace.builder.model import Selection
    from slimtrace.builder.profile.apparmor.permissions import Permissions
    from slimtrace.builder.root.root import Root
    from slimtrace.tracer.trace.trace import Trace

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FAMILIES = {
    2: "inet",
    10: "inet6",
    16: "netlink",
    17: "packet",
    29: "can",
    31: "bluetooth",
    38: "alg",
    40: "vsock",
}
"""Numbers of linux/socket.h to the words of apparmor.d(5). Unix sockets are always allowed, for
socketpair(2) is not looked at."""
_MOUNTS = {
    "mount": "mount,",
    "umount": "umount,",
    "umount2": "umount,",
    "pivot_root": "pivot_root,",
}
_ORDER = ("m", "r", "w", "ix", "k", "l")
_ENOUGH = 4
"""So many files of a folder stand for all in it: the image holds no others."""
_GLOBBED = ("/usr/", "/opt/", "/lib/")


def check_name(name: str) -> None:
    """:raises UsageError: it could be taken for a path, a pattern or several words."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"cannot use --name {name}: it is not a plain word", "use letters, digits, _, . and -"
        )


def text(trace: Trace, root: Root, selection: Selection, name: str) -> list[str]:
    """Its lines. What capabilities there are is left to the engine, which always says it."""
    return [
        "# Written by slimtrace profile.",
        "include <tunables/global>",
        "",
        f"profile {name} flags=(attach_disconnected,mediate_deleted) {{",
        *(f"  {line}" for line in _abilities(trace)),
        "",
        *(f"  {line}" for line in _files(trace, root, selection)),
        "",
        *(f"  {pattern} {letters}," for pattern, letters in kernels(trace).items()),
        "}",
    ]


def _abilities(trace: Trace) -> Iterator[str]:
    yield "capability,"
    yield "network unix,"
    yield "unix,"
    for family in sorted(families_of(trace) & frozenset(_FAMILIES)):
        yield f"network {_FAMILIES[family]},"
    yield "signal (receive),"
    yield "signal (send) peer=@{profile_name},"
    traces = "trace, tracedby, " if "ptrace" in trace.observed_syscalls else ""
    yield f"ptrace ({traces}read, readby) peer=@{{profile_name}},"
    yield from sorted({_MOUNTS[call] for call in _MOUNTS.keys() & set(trace.observed_syscalls)})


def _files(trace: Trace, root: Root, selection: Selection) -> Iterator[str]:
    folders, names = made(trace, root)
    found = permissions(trace, root, selection)
    opened = tuple(f"{folder}/" for folder in folders)
    for path, letters in names.items():
        found[path] = found.get(path, frozenset()) | letters
    for path, letters in found.items():
        if letters == MAP and path.startswith(opened):
            found[path] = frozenset("r")  # the app may write it: see permissions()
    globs = _globs(found)
    for path, letters in sorted(found.items()):
        if letters != MAP or os.path.dirname(path) not in globs:
            yield f"{quoted(path)} {_said(letters)},"
    for folder in sorted(globs):
        yield f"{quoted(folder, '/*')} {_said(MAP)},"
    for path in sorted(path for path, letters in names.items() if "ix" not in letters):
        yield f"{quoted(path, '/{,**}')} {_said(WRITE)},"
    for folder in sorted(folders):
        yield f"{quoted(folder, '/{,**}')} {_said(WRITE)},"
    for folder, writable in sorted(volumes(trace).items()):
        yield f"{quoted(folder, '{,/**}')} {_said(WRITE if writable else frozenset('r'))},"


def _globs(found: Permissions) -> frozenset[str]:
    """Folders that hold enough files which may be mapped and no more."""
    files: dict[str, int] = defaultdict(int)
    for path, letters in found.items():
        if letters == MAP and path.startswith(_GLOBBED):
            files[os.path.dirname(path)] += 1
    return frozenset(folder for folder, number in files.items() if number >= _ENOUGH)


def _said(letters: frozenset[str]) -> str:
    return "".join(letter for letter in _ORDER if letter in letters)
